using DistTrain.Cli.Tasks;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Devices;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;

namespace DistTrain.PyTorch;

/// <summary>What one step came to.</summary>
/// <param name="Step">Loss and gradient.</param>
/// <param name="MeanOfMeans">The same for the plain mean of the micro-batches' means, the mistake that must be seen.</param>
/// <param name="Weights">Of the weights after the step: Euclidean norm of the difference over that of the reference's.</param>
/// <param name="Rule">Largest difference of a weight where the reference's gradient is applied: that of the update rule alone.</param>
/// <param name="Play">The reference's, see <see cref="ReferenceStep"/>.</param>
internal sealed record StepResult(Difference Step, Difference MeanOfMeans, double Weights, double Rule, double Play)
{
    /// <summary>Adam moves a weight by about its rate however small the gradient is, so also where the gradient is nothing but rounding.</summary>
    private const double MostWeights = 1e-3;

    /// <summary>Sixteen steps of fp32 just above 1; a forgotten weight decay is 10 times that and more.</summary>
    private const double MostRule = 2e-6;

    /// <summary>Whether the gradient differs only because ReLUs whose input is next to 0 are on the other side.</summary>
    public bool IsTurned => Step.Gradient > Difference.MostGradient && Step.Gradient <= Difference.MostGradient + Play;

    /// <summary>Whether every difference is one of rounding.</summary>
    public bool IsSmall => (Step.IsSmall || (IsTurned && Step.Loss <= Difference.MostLoss)) && Weights <= MostWeights && Rule <= MostRule;
}

/// <summary>A replica that is put into the reference's state before every step, and takes it as a worker does: blocks, tree, update.</summary>
internal sealed class Comparison : IDisposable
{
    private readonly RunOptions _options;
    private readonly ITrainingTask _task;
    private readonly Replica _replica;
    private readonly NodePool _nodes;
    private readonly int _count;

    /// <summary>Opens a case's task and builds its model.</summary>
    public Comparison(Case @case)
    {
        (_options, var problems) = OptionsReader.ReadRun(@case.Settings);
        _task = problems.Count == 0 ? BuiltInTasks.Catalog().Create(_options) : throw new InvalidOperationException(string.Join(' ', problems));
        _task = @case.Ragged ? new RaggedTask(_task) : _task;
        _replica = new Replica(_task, _options, ComputeDevice.Cpu);
        _nodes = _replica.CreateNodes();
        _count = (int)_replica.Layout.Count;
        foreach (var slot in _replica.Layout.Slots.Where(s => s.Shape.Count == 2))
        {
            foreach (ref var weight in _replica.State[0].Vector.Span(slot.Offset, (int)slot.Count))
            {
                weight *= @case.Gain;
            }
        }
    }

    private double[] Weights => [.. _replica.State[0].Vector.Span(0, _count).ToArray().Select(w => (double)w)];

    /// <summary>Trains the reference and takes each of its steps here.</summary>
    /// <param name="python">An interpreter that has torch.</param>
    /// <param name="settings">The run's keys.</param>
    /// <param name="steps">Steps.</param>
    public IReadOnlyList<StepResult> Run(string python, IReadOnlyDictionary<string, string> settings, int steps)
    {
        var folder = Directory.CreateTempSubdirectory("disttrain-pytorch-");
        try
        {
            var file = Path.Combine(folder.FullName, "input.safetensors");
            ReferenceInput.Write(file, _replica.Layout, _replica.State[0].Vector, _task.Training, [.. Enumerable.Range(0, steps).Select(SamplesOf)]);
            using var reference = new Reference(python, file, settings, _count, _replica.State.Count);
            var results = new List<StepResult>();
            var state = reference.ReadState();
            for (var step = 0; step < steps; step++)
            {
                var expected = reference.ReadStep();
                var next = reference.ReadState();
                results.Add(Take(step, state, expected, next[0]));
                state = next;
            }

            reference.Finish();
            return results;
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    public void Dispose()
    {
        _nodes.Dispose();
        _replica.Dispose();
        _task.Dispose();
    }

    private StepResult Take(int step, float[][] state, ReferenceStep expected, float[] weights)
    {
        SetState(step, state);
        var (reduced, meanOfMeans) = Reduce(step, expected);
        var sum = reduced.ToHost().Span(0, _count);
        var mean = new double[_replica.Layout.BuffersStart];
        for (var i = 0; i < mean.Length; i++)
        {
            mean[i] = (double)sum[i] / reduced.Header.Weight;
        }

        var difference = Difference.Of(reduced.Header.LossSum / reduced.Header.Weight, mean, expected);
        Apply(reduced);
        var whole = Difference.Relative(Weights, weights);
        SetState(step, state);
        for (var i = 0; i < mean.Length; i++)
        {
            sum[i] = expected.Gradient[i] * reduced.Header.Weight;
        }

        Apply(reduced);
        _nodes.Return(reduced);
        return new StepResult(difference, meanOfMeans, whole, Weights.Zip(weights, (a, b) => Math.Abs(a - b)).Max(), expected.Play);
    }

    /// <summary>The state as the reference has it before a step; Adam's powers follow from the number of steps.</summary>
    private void SetState(int step, float[][] state)
    {
        foreach (var ((_, vector), values) in _replica.State.Zip(state))
        {
            values.CopyTo(vector.Span(0, _count));
        }

        _replica.Scalars = _replica.Scalars.ToDictionary(
            s => s.Key, s => Math.Pow(s.Key == "beta1Power" ? _options.Optimizer.Beta1 : _options.Optimizer.Beta2, step));
        _replica.StateWasReplaced();
    }

    /// <summary>The whole step's sums along the tree, and the difference of the mean of the micro-batches' means.</summary>
    private (NodeBuffer Sum, Difference MeanOfMeans) Reduce(int step, ReferenceStep expected)
    {
        var operation = OperationOf(step);
        var tree = new ReductionTree(operation.Batches.Blocks);
        var fold = new TreeFold<NodeBuffer>(tree, Add);
        var (loss, gradient) = (0.0, new double[_replica.Layout.BuffersStart]);
        NodeBuffer? root = null;
        for (var block = 0; block < tree.Blocks; block++)
        {
            var node = _nodes.Rent();
            _replica.Accumulate(operation, block, node, () => { });
            var sum = node.ToHost().Span(0, _count);
            var share = 1.0 / (node.Header.Weight * tree.Blocks);
            loss += node.Header.LossSum * share;
            for (var i = 0; i < gradient.Length; i++)
            {
                gradient[i] += sum[i] * share;
            }

            root = fold.Add(tree.Leaf(block), node).Value;
        }

        return (root!, Difference.Of(loss, gradient, expected));

        NodeBuffer Add(NodeBuffer left, NodeBuffer right)
        {
            left.Add(right);
            _nodes.Return(right);
            return left;
        }
    }

    private void Apply(NodeBuffer reduced)
    {
        var tiles = _replica.Layout.Tiles;
        var squares = new double[tiles.Count];
        for (var tile = 0; tile < tiles.Count; tile++)
        {
            squares[tile] = VectorKernels.SumOfSquares(reduced.ToHost().Span(tiles.Start(tile), tiles.Length(tile)));
        }

        if (_replica.Apply(reduced.ToHost(), reduced.Header, squares, _options.Optimizer.LearningRate, _options.Batch.Global).Skipped)
        {
            throw new InvalidDataException("A step was skipped: its gradient is not finite.");
        }
    }

    /// <summary>Step k takes the first samples of epoch k's order. Blocks are single micro-batches.</summary>
    private Operation OperationOf(int step)
    {
        var geometry = _options.Geometry with { Blocks = int.MaxValue };
        var samples = new SampleRange(step, 0, _options.Batch.Global);
        return new Operation((ulong)step + 1, OperationKind.Train, step + 1, samples, geometry, _options.Optimizer.LearningRate, false, false);
    }

    private long[] SamplesOf(int step)
    {
        var shuffle = new KeyedPermutation(Hash64.EpochKey(_options.Seed, step), _task.Training.Count);
        return [.. Enumerable.Range(0, (int)_options.Batch.Global).Select(i => shuffle[i])];
    }
}
