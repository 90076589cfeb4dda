using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.TestKit;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>One replica of a task, driven by hand.</summary>
internal sealed class Bench : IDisposable
{
    private readonly ITrainingTask _task;
    private ulong _operations;

    public Bench(ITrainingTask task, params string[] settings)
    {
        _task = task;
        Options = LocalCluster.Options(settings);
        Replica = new Replica(task, Options);
    }

    public RunOptions Options { get; }

    public Replica Replica { get; }

    /// <summary>The task that all clusters of tests train.</summary>
    public static PatternTask Pattern() => new(new TaskContext<PatternModel, PatternData>(new PatternModel(), new PatternData(), LocalCluster.Options()));

    public Operation Operation(long step = 1, long first = 0, long? samples = null) => new(
        ++_operations, OperationKind.Train, step, new SampleRange(0, first, samples ?? Options.Batch.Global), Options.Geometry, 0.1, false, false);

    /// <summary>The numbers of the samples of a part of an operation.</summary>
    public long[] Samples(Operation operation, IndexRange range)
    {
        var shuffle = new KeyedPermutation(Core.Numerics.Hash64.EpochKey(Options.Seed, operation.Samples.Epoch), _task.Training.Count);
        return [.. Enumerable.Range(0, (int)range.Count).Select(i => shuffle[operation.Samples.First + range.First + i])];
    }

    /// <summary>The sums of one block.</summary>
    public (float[] Gradient, NodeHeader Header) Block(Operation operation, int block)
    {
        using var node = Replica.CreateNode();
        node.Values.Span(0, (int)node.Values.Count).Fill(float.NaN);
        Replica.Accumulate(operation, block, node, () => { });
        return (node.Values.Span(0, (int)node.Values.Count).ToArray(), node.Header);
    }

    /// <summary>The sums of a whole step, along the tree.</summary>
    public NodeBuffer Reduce(Operation operation)
    {
        var tree = new ReductionTree(operation.Batches.Blocks);
        var fold = new TreeFold<NodeBuffer>(tree, Add);
        NodeBuffer? root = null;
        for (var block = 0; block < tree.Blocks; block++)
        {
            var node = Replica.CreateNode();
            Replica.Accumulate(operation, block, node, () => { });
            root = fold.Add(tree.Leaf(block), node).Value;
        }

        return root!;

        static NodeBuffer Add(NodeBuffer left, NodeBuffer right)
        {
            using (right)
            {
                return NodeBuffer.Add(left, right);
            }
        }
    }

    public AppliedStep Apply(NodeBuffer reduced, double rate = 0.1)
    {
        var tiles = Replica.Layout.Tiles;
        var squares = new double[tiles.Count];
        for (var tile = 0; tile < tiles.Count; tile++)
        {
            squares[tile] = Core.Numerics.VectorKernels.SumOfSquares(reduced.Values.Span(tiles.Start(tile), tiles.Length(tile)));
        }

        return Replica.Apply(reduced.Values, reduced.Header, squares, rate);
    }

    /// <summary>Computes and applies a step.</summary>
    public AppliedStep Step(long step)
    {
        using var reduced = Reduce(Operation(step));
        return Apply(reduced);
    }

    /// <summary>The bits of the weights and of the optimizer's vectors.</summary>
    public uint[] StateBits() =>
        [.. Replica.State.SelectMany(s => s.Vector.Span(0, (int)s.Vector.Count).ToArray()).Select(BitConverter.SingleToUInt32Bits)];

    /// <summary>The weights of one slot.</summary>
    public float[] Weights(string name)
    {
        var slot = Replica.Layout.Slots.Single(s => s.Name == name);
        return Replica.State[0].Vector.Span(slot.Offset, (int)slot.Count).ToArray();
    }

    public void Dispose()
    {
        Replica.Dispose();
        _task.Dispose();
    }
}

/// <summary>Another model on another task's data, or the same data in other memory.</summary>
/// <param name="inner">The task that owns data and loss.</param>
/// <param name="build">Its model; the inner task's where null.</param>
/// <param name="inputs">What is done to the inputs of a batch.</param>
internal sealed class ChangedTask(ITrainingTask inner, Func<nn.Module>? build = null, Func<Tensor, Tensor>? inputs = null) : ITrainingTask
{
    public IDataset Training { get; } = new ChangedDataset(inner.Training, inputs);

    public IDataset Validation => inner.Validation;

    public IReadOnlyList<string> Metrics => inner.Metrics;

    public nn.Module BuildModel() => build is null ? inner.BuildModel() : build();

    public LossSum Loss(nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

    public void Dispose() => inner.Dispose();

    private sealed class ChangedDataset(IDataset inner, Func<Tensor, Tensor>? inputs) : IDataset
    {
        public long Count => inner.Count;

        public string Fingerprint => inner.Fingerprint;

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            var batch = inner.Load(samples);
            return inputs is null ? batch : new TensorBatch(inputs(batch.Inputs), batch.Targets);
        }
    }
}
