using System.Globalization;
using DistTrain.Core.Layouts;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;

namespace DistTrain.Worker;

/// <summary>Carries out operations at one rank: own blocks, exchange, update.</summary>
internal sealed class StepExecutor : IDisposable
{
    private readonly Replica _replica;
    private readonly ComputeThread _compute;
    private readonly TimeProvider _time;
    private readonly Action _afterMicroBatch;
    private readonly bool _foldPerWorker;
    private readonly NodePool _gradients;
    private readonly NodePool _headers = new HostNodePool(layout: null);

    // A peer may still be sent this worker's part of one reduced step while the next one arrives.
    private readonly ReducedVector[] _reduced;
    private readonly ReducedVector _empty = new(new NativeVector(0), []);

    /// <summary>An executor for a replica.</summary>
    /// <param name="replica">The state; used on the compute thread only.</param>
    /// <param name="compute">The thread.</param>
    /// <param name="foldPerWorker">See <see cref="ReductionSpec.PerWorker"/>.</param>
    /// <param name="afterMicroBatch">Called on the compute thread after every micro-batch.</param>
    /// <param name="time">The clock.</param>
    public StepExecutor(Replica replica, ComputeThread compute, bool foldPerWorker, Action afterMicroBatch, TimeProvider time)
    {
        _replica = replica;
        _compute = compute;
        _foldPerWorker = foldPerWorker;
        _afterMicroBatch = afterMicroBatch;
        _time = time;
        _gradients = replica.CreateNodes();
        _reduced = [CreateReduced(), CreateReduced()];

        ReducedVector CreateReduced() => new(new NativeVector(replica.Layout.Count), new double[replica.Layout.Tiles.Count]);
    }

    /// <summary>Own blocks completed in the operation in progress.</summary>
    public int BlocksDone { get; private set; }

    /// <summary>Carries out one operation.</summary>
    /// <param name="operation">What to do.</param>
    /// <param name="ranges">The blocks of every rank.</param>
    /// <param name="peers">The other ranks.</param>
    /// <param name="cancellation">Cancelled when the session or the generation is over.</param>
    public async Task<OperationReport> ExecuteAsync(
        Operation operation, IReadOnlyList<BlockRange> ranges, PeerGroup peers, CancellationToken cancellation)
    {
        var training = operation.Kind == OperationKind.Train;
        var pool = training ? _gradients : _headers;
        var tiles = training ? _replica.Layout.Tiles : null;
        var reduced = training ? _reduced[operation.Number % 2] : _empty;
        var spec = _foldPerWorker
            ? ReductionSpec.PerWorker(peers.WorldSize)
            : ReductionSpec.Canonical(operation.Batches.Blocks, ranges);
        var fold = _foldPerWorker ? new BlockFold(spec.Covers[peers.Rank][0], pool) : new BlockFold(spec, peers.Rank, pool);
        var allReduce = new AllReduce(
            operation.Number, HashPrefix(_replica.WeightsHash), peers.Rank, spec, new ShardTable(tiles, peers.WorldSize), tiles,
            training ? 0 : _replica.MetricCount, reduced, peers);
        var sentBefore = peers.BytesSent;
        BlocksDone = 0;
        peers.Operations.Begin(allReduce);

        var started = _time.GetTimestamp();
        await ComputeBlocksAsync(operation, ranges[peers.Rank], fold, pool, allReduce, cancellation);
        var computed = _time.GetTimestamp();
        var header = await allReduce.Whole.WaitAsync(cancellation);
        var exchanged = _time.GetTimestamp();
        var applied = await _compute.RunAsync(() =>
        {
            fold.Release();
            return training ? _replica.Apply(reduced.Values, header, reduced.TileSquares, operation.LearningRate) : default;
        });

        return new OperationReport
        {
            Generation = peers.Tag.Generation,
            Operation = operation.Number,
            WeightsHash = _replica.WeightsHash,
            Skipped = applied.Skipped,
            LossSum = header.LossSum,
            Weight = header.Weight,
            MetricSums = header.MetricSums,
            GradientNorm = applied.GradientNorm,
            ComputeSeconds = _time.GetElapsedTime(started, computed).TotalSeconds,
            ExchangeSeconds = _time.GetElapsedTime(computed, exchanged).TotalSeconds,
            ApplySeconds = _time.GetElapsedTime(exchanged).TotalSeconds,
            Blocks = ranges[peers.Rank].Count,
            BytesSent = peers.BytesSent - sentBefore,
        };
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _gradients.Dispose();
        _headers.Dispose();
        Array.ForEach(_reduced, r => r.Values.Dispose());
        _empty.Values.Dispose();
    }

    /// <summary>
    /// All own blocks in one piece of work: handing the thread every block by itself would wake two threads a block, which shows on a busy machine.
    /// </summary>
    private Task ComputeBlocksAsync(
        Operation operation, BlockRange own, BlockFold fold, NodePool pool, AllReduce allReduce, CancellationToken cancellation) =>
        _compute.RunAsync(() =>
        {
            for (var block = own.First; block < own.End; block++)
            {
                cancellation.ThrowIfCancellationRequested();
                var node = pool.Rent();
                _replica.Accumulate(operation, block, node, _afterMicroBatch);
                Offer(allReduce, fold.Add(block, node));
                BlocksDone++;
            }

            Offer(allReduce, fold.Finish(() => Zero(pool, operation)));
        });

    private static void Offer(AllReduce allReduce, (NodeId Node, NodeBuffer Buffer)? complete)
    {
        if (complete is var (node, buffer))
        {
            allReduce.Offer(node, buffer.ToHost(), buffer.Header);
        }
    }

    /// <summary>The sum of no blocks.</summary>
    private NodeBuffer Zero(NodePool pool, Operation operation)
    {
        var node = pool.Rent();
        node.SetZero(operation.Kind == OperationKind.Train ? 0 : _replica.MetricCount);
        return node;
    }

    private static ulong HashPrefix(string hash) => ulong.Parse(hash.AsSpan(0, 16), NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}
