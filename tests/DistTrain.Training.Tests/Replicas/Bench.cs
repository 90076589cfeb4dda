using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
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
        : this(task, ComputeDevice.Cpu, settings)
    {
    }

    public Bench(ITrainingTask task, ComputeDevice device, params string[] settings)
    {
        _task = task;
        Options = LocalCluster.Options(settings);
        Replica = new Replica(task, Options, device);
        Nodes = Replica.CreateNodes();
    }

    public RunOptions Options { get; }

    public Replica Replica { get; }

    public NodePool Nodes { get; }

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
        var node = Nodes.Rent();
        node.SetZero(0);
        node.ToHost().Span(0, (int)Replica.Layout.Count).Fill(float.NaN);
        Replica.Accumulate(operation, block, node, () => { });
        var gradient = node.ToHost().Span(0, (int)Replica.Layout.Count).ToArray();
        Nodes.Return(node);
        return (gradient, node.Header);
    }

    /// <summary>The sums of a whole step, along the tree.</summary>
    public NodeBuffer Reduce(Operation operation)
    {
        var tree = new ReductionTree(operation.Batches.Blocks);
        var fold = new TreeFold<NodeBuffer>(tree, Add);
        NodeBuffer? root = null;
        for (var block = 0; block < tree.Blocks; block++)
        {
            var node = Nodes.Rent();
            Replica.Accumulate(operation, block, node, () => { });
            root = fold.Add(tree.Leaf(block), node).Value;
        }

        return root!;

        NodeBuffer Add(NodeBuffer left, NodeBuffer right)
        {
            left.Add(right);
            Nodes.Return(right);
            return left;
        }
    }

    public AppliedStep Apply(NodeBuffer reduced, double rate = 0.1)
    {
        var tiles = Replica.Layout.Tiles;
        var squares = new double[tiles.Count];
        for (var tile = 0; tile < tiles.Count; tile++)
        {
            squares[tile] = Core.Numerics.VectorKernels.SumOfSquares(reduced.ToHost().Span(tiles.Start(tile), tiles.Length(tile)));
        }

        return Replica.Apply(reduced.ToHost(), reduced.Header, squares, rate, Options.Batch.Global);
    }

    /// <summary>Computes and applies a step.</summary>
    public AppliedStep Step(long step)
    {
        var reduced = Reduce(Operation(step));
        var applied = Apply(reduced);
        Nodes.Return(reduced);
        return applied;
    }

    /// <summary>The loss and metrics of the first validation samples.</summary>
    public NodeHeader Evaluate()
    {
        using var headers = new HostNodePool(layout: null);
        var node = headers.Rent();
        var operation = new Operation(
            ++_operations, OperationKind.Evaluate, 1, new SampleRange(0, 0, Math.Min(20, _task.Validation.Count)), new BatchGeometry(20, 7, 1), 0, false, false);
        Replica.Accumulate(operation, 0, node, () => { });
        return node.Header with { MetricSums = [] };
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
        Nodes.Dispose();
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
