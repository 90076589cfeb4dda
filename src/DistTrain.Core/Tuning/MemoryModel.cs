using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tuning;

/// <summary>The vectors that make up a state, as far as they take memory.</summary>
/// <param name="Elements">Elements of the layout, parameters and buffers: the length of every one of them.</param>
/// <param name="OptimizerVectors">How many the optimizer keeps.</param>
/// <param name="HasAverage">Whether a running average of the weights is kept.</param>
public sealed record StateSize(long Elements, int OptimizerVectors, bool HasAverage)
{
    /// <summary>Whether a block of one micro-batch is accumulated on top of the sum that it is added to next, without memory of its own.</summary>
    public bool AddsOnTop { get; init; }

    /// <summary>Bytes of one vector, and so of one node.</summary>
    public long Vector => Elements * sizeof(float);

    /// <summary>Bytes of them all.</summary>
    public long Total => Vector * (1 + OptimizerVectors + (HasAverage ? 1 : 0));
}

/// <summary>
/// The most memory that a worker needs in a run, by part, in bytes, where it computes on the processor. All but two parts are counted, from what the worker allocates; what the
/// program and the activations take has to be measured (<see cref="MicroBatchCost"/>).
/// </summary>
/// <remarks>
/// It is that of the worker that needs most: one that writes checkpoints, with the blocks that take most nodes. A joiner that copies the state costs its source a vector or
/// two more for as long as it does.
/// </remarks>
public sealed record MemoryModel
{
    /// <summary>
    /// What a process takes in the course of a run beside all that is counted here: garbage that is not collected yet, and what torch and the C library keep.
    /// </summary>
    public const long Growth = 24L << 20;

    /// <summary>Chunks that are on their way to and from another worker: the windows of both directions.</summary>
    public const long InFlight = 8L << 20;

    /// <summary>The program with its libraries, and the data as far as they lie in memory.</summary>
    public required long Runtime { get; init; }

    /// <summary>The weights, and their running average where one is kept.</summary>
    public required long Weights { get; init; }

    /// <summary>What the optimizer keeps.</summary>
    public required long Optimizer { get; init; }

    /// <summary>The block that is being summed, and the nodes that wait for others or until the step is applied.</summary>
    public required long Nodes { get; init; }

    /// <summary>Two reduced vectors, what the own shard is folded from, and what is on its way.</summary>
    public required long Exchange { get; init; }

    /// <summary>The copy of the state that a checkpoint is sent from.</summary>
    public required long Checkpoint { get; init; }

    /// <summary>What one forward and backward pass needs, with the micro-batch that is loaded meanwhile.</summary>
    public required long Activations { get; init; }

    /// <summary>All of it.</summary>
    public long Total => Runtime + Weights + Optimizer + Nodes + Exchange + Checkpoint + Activations;

    /// <inheritdoc/>
    public override string ToString() =>
        $"{ByteSize.Format(Total)}: program and data {ByteSize.Format(Runtime)}, weights {ByteSize.Format(Weights)}, optimizer {ByteSize.Format(Optimizer)}, nodes {ByteSize.Format(Nodes)}, "
        + $"exchange {ByteSize.Format(Exchange)}, checkpoint {ByteSize.Format(Checkpoint)}, activations {ByteSize.Format(Activations)}";

    /// <summary>Counts what a worker needs.</summary>
    /// <param name="state">The vectors of the state.</param>
    /// <param name="batch">How a step is cut up.</param>
    /// <param name="workers">How many equally fast workers share it, at least 1.</param>
    /// <param name="runtime">See <see cref="RuntimeOf"/>.</param>
    /// <param name="activations">Of a pass of the step's largest micro-batch.</param>
    public static MemoryModel Of(StateSize state, BatchPlan batch, int workers, long runtime, long activations)
    {
        var tree = new ReductionTree(batch.Blocks);
        var ranges = BlockPlanner.PlanEqual(batch.Blocks, workers);
        var shard = (state.Vector / workers) + 1;
        var staged = Enumerable.Range(0, workers).Max(owner => MostStaged(tree, ranges, owner));
        return new MemoryModel
        {
            Runtime = runtime,
            Weights = state.Vector * (state.HasAverage ? 2 : 1),
            Optimizer = state.Vector * state.OptimizerVectors,
            Nodes = state.Vector * ranges.Max(range => MostNodes(tree, range, state.AddsOnTop && batch.MicroBatches == batch.Blocks)),
            Exchange = (2 * state.Vector) + (staged * shard) + ((workers - 1) * InFlight),
            Checkpoint = state.Total,
            Activations = activations,
        };
    }

    /// <summary>The most that a worker needs: as many may take part as the run is to have, or fewer, of which each needs more nodes.</summary>
    /// <param name="state">The vectors of the state.</param>
    /// <param name="batch">How a step is cut up.</param>
    /// <param name="workers">How many workers the run is to have, at least 1.</param>
    /// <param name="runtime">See <see cref="RuntimeOf"/>.</param>
    /// <param name="activations">Of a pass of the step's largest micro-batch.</param>
    public static MemoryModel OfAnyNumber(StateSize state, BatchPlan batch, int workers, long runtime, long activations)
    {
        var (alone, together) = (Of(state, batch, 1, runtime, activations), Of(state, batch, workers, runtime, activations));
        return together.Total > alone.Total ? together : alone;
    }

    /// <summary>What the program takes, from what a worker held before the first pass of its measurement: the state and one node are no part of it, later growth is.</summary>
    public static long RuntimeOf(StateSize state, long held) => Math.Max(0, held - state.Total - state.Vector) + Growth;

    /// <summary>How many nodes a worker holds at once that computes a range of blocks: cover nodes stay until the step is applied.</summary>
    /// <param name="tree">The step's tree.</param>
    /// <param name="range">The blocks.</param>
    /// <param name="addsOnTop">Whether a block takes the memory of the sum that it is added to next.</param>
    public static int MostNodes(ReductionTree tree, BlockRange range, bool addsOnTop)
    {
        var fold = new TreeFold<bool>(tree, (_, _) => true);
        var most = 0;
        for (var block = range.First; block < range.End; block++)
        {
            var leaf = tree.Leaf(block);
            var isOnTop = addsOnTop && leaf != tree.Root && !leaf.IsLeft && fold.Waiting.ContainsKey(leaf.Sibling);
            most = Math.Max(most, fold.Waiting.Count + (isOnTop ? 0 : 1));
            fold.Add(leaf, true);
        }

        return most;
    }

    /// <summary>
    /// How many slices wait in memory of their own at the owner of a shard, where all workers begin at once and are equally fast. Its own nodes lie where it computed them.
    /// </summary>
    /// <param name="tree">The step's tree.</param>
    /// <param name="ranges">Who computes which blocks.</param>
    /// <param name="owner">The rank of the shard's owner.</param>
    public static int MostStaged(ReductionTree tree, IReadOnlyList<BlockRange> ranges, int owner)
    {
        var arrivals = ranges.SelectMany((range, rank) => tree.Cover(range.First, range.End).Select(node =>
            (Node: node, IsOwned: rank != owner, At: (double)(tree.EndBlock(node) - range.First) / range.Count, Rank: rank)));
        var fold = new TreeFold<bool>(tree, (_, _) => true);
        var most = 0;
        foreach (var arrival in arrivals.OrderBy(a => a.At).ThenBy(a => a.Rank))
        {
            // It comes before it is added to what waits.
            most = Math.Max(most, fold.Waiting.Values.Count(isOwned => isOwned) + (arrival.IsOwned ? 1 : 0));
            fold.Add(arrival.Node, arrival.IsOwned);
            most = Math.Max(most, fold.Waiting.Values.Count(isOwned => isOwned));
        }

        return most;
    }
}
