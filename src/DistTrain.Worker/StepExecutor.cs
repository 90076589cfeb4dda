using System.Globalization;
using DistTrain.Core.Faults;
using DistTrain.Core.Health;
using DistTrain.Core.Layouts;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Faults;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;
using DistTrain.Worker.Health;

namespace DistTrain.Worker;

/// <summary>
/// Carries out operations at one rank: own blocks, exchange, update. It outlives generations: the nodes of an operation that broke off are kept, because
/// the next generation may go on from them.
/// </summary>
internal sealed class StepExecutor : IDisposable
{
    private readonly Replica _replica;
    private readonly ComputeThread _compute;
    private readonly TimeProvider _time;
    private readonly Action _afterMicroBatch;
    private readonly bool _foldPerWorker;
    private readonly FaultInjector? _faults;
    private readonly WorkerVitals _vitals;
    private readonly NodePool _gradients;
    private readonly NodePool _headers = new HostNodePool(layout: null);
    private readonly StateFeeds _feeds;

    // A member that missed a reduced step gets it from here.
    private readonly ReducedVectors _reduced;
    private readonly ReducedVector _empty = new(new NativeVector(0), []);

    // How the vector is cut stays the same as long as the members do.
    private NodeSend? _send;
    private (Operation Operation, BlockFold Fold)? _begun;
    private AppliedRoot? _root;
    private volatile bool _isExecuting;

    /// <summary>An executor for a replica.</summary>
    /// <param name="replica">The state; used on the compute thread only.</param>
    /// <param name="applied">The last operation the state contains.</param>
    /// <param name="compute">The thread.</param>
    /// <param name="foldPerWorker">See <see cref="ReductionSpec.PerWorker"/>.</param>
    /// <param name="afterMicroBatch">Called on the compute thread after every micro-batch.</param>
    /// <param name="time">The clock.</param>
    /// <param name="faults">What is done to this process on purpose; mostly nothing.</param>
    /// <param name="vitals">Told of what it is at; null where nobody asks.</param>
    /// <param name="gradients">Where nodes come from; null for the replica's own. Disposed of with this.</param>
    public StepExecutor(
        Replica replica, ulong applied, ComputeThread compute, bool foldPerWorker, Action afterMicroBatch, TimeProvider time, FaultInjector? faults = null,
        WorkerVitals? vitals = null, NodePool? gradients = null)
    {
        _replica = replica;
        Applied = applied;
        _compute = compute;
        _foldPerWorker = foldPerWorker;
        _afterMicroBatch = afterMicroBatch;
        _time = time;
        _faults = faults;
        _vitals = vitals ?? new WorkerVitals(time);
        _gradients = gradients ?? replica.CreateNodes();
        _reduced = new ReducedVectors(replica.Layout);
        _feeds = new StateFeeds(replica);
    }

    /// <summary>The last operation the state contains.</summary>
    public ulong Applied { get; private set; }

    /// <summary>The nodes it holds of the operation after <see cref="Applied"/>. Not while an operation is being executed.</summary>
    public IReadOnlyList<NodeId> Held => _begun is var (operation, fold) && operation.Number == Applied + 1 ? fold.Held : [];

    /// <summary>Most samples of a micro-batch of the operation whose nodes it holds; 0 for none.</summary>
    public int HeldMicro => _begun?.Operation.Geometry.Micro ?? 0;

    /// <summary>Own blocks completed in the operation in progress.</summary>
    public int BlocksDone { get; private set; }

    /// <summary>
    /// Says which operation comes after those that it was given so far: its first micro-batch is loaded as soon as it can be. From any thread, ahead of <see cref="ExecuteAsync"/>.
    /// </summary>
    /// <param name="operation">The operation.</param>
    /// <param name="own">What this rank contributes.</param>
    public void Expect(Operation operation, WorkShare own)
    {
        if (operation.Number > Applied && own.BlockAfter(-1) is { } block)
        {
            _replica.Expect(operation, block);
        }
    }

    /// <summary>The operations it was told of may not come, or be shared differently: nothing is loaded for them any more when this is done.</summary>
    public Task ForgetExpectedAsync() => _compute.RunAsync(_replica.ForgetExpected);

    /// <summary>Carries out one operation.</summary>
    /// <param name="operation">What to do: the one after <see cref="Applied"/>, or that one again, for members that missed its sum.</param>
    /// <param name="shares">What every rank contributes.</param>
    /// <param name="peers">The other ranks.</param>
    /// <param name="cancellation">Cancelled when the session or the generation is over; the nodes so far stay.</param>
    /// <returns>What there is to report; null where the operation was applied before.</returns>
    public async Task<OperationReport?> ExecuteAsync(
        Operation operation, IReadOnlyList<WorkShare> shares, PeerGroup peers, CancellationToken cancellation)
    {
        BlocksDone = 0;
        if (operation.Number == Applied)
        {
            await RepeatAsync(operation, shares, peers, cancellation);
            return null;
        }

        _isExecuting = true;
        var isFeeding = await _feeds.ExpectChangeAsync();
        if (isFeeding)
        {
            _reduced.Prepare();
        }

        var training = operation.Kind == OperationKind.Train;
        var reduced = training ? await _reduced.TakeAsync(operation.Number, isFeeding) : _empty;
        var (spec, send) = (SpecOf(operation, shares, peers), SendOf(operation, peers));
        var sentBefore = peers.BytesSent;
        var allReduce = Begin(operation, _replica.WeightsHash, spec, send.Shards, reduced, peers);

        var started = _time.GetTimestamp();
        await _compute.RunAsync(() =>
        {
            var fold = Begin(operation, spec, peers, reduced);
            if (training)
            {
                ComputeBlocks(operation, shares[peers.Rank], fold, send, allReduce, peers, cancellation);
                return;
            }

            // An evaluation may put the average in place of the weights meanwhile.
            _feeds.Change(() =>
            {
                using var averaged = _replica.UseAverage();
                ComputeBlocks(operation, shares[peers.Rank], fold, send, allReduce, peers, cancellation);
                return true;
            });
        });
        var computed = _time.GetTimestamp();
        var early = peers.BytesSent - sentBefore;
        _vitals.Begin(WorkerActivity.Exchanging);
        var header = await allReduce.Whole.WaitAsync(cancellation);
        var exchanged = _time.GetTimestamp();
        _vitals.Begin(WorkerActivity.Updating);
        var applied = await _compute.RunAsync(() => _feeds.Change(() => Apply(operation, reduced, header)));
        _vitals.Begin(WorkerActivity.Awaiting);
        _isExecuting = false;
        return new OperationReport
        {
            Generation = peers.Tag.Generation,
            Operation = operation.Number,
            WeightsHash = _replica.WeightsHash,
            Skipped = applied.Skipped,
            LossSum = header.LossSum,
            Weight = header.Weight,
            MetricSums = training ? [] : header.MetricSums,
            Gradients = applied.Gradients,
            Preconditioned = applied.Preconditioned,
            GradientNorm = applied.GradientNorm,
            ComputeSeconds = _time.GetElapsedTime(started, computed).TotalSeconds,
            ExchangeSeconds = _time.GetElapsedTime(computed, exchanged).TotalSeconds,
            ApplySeconds = _time.GetElapsedTime(exchanged).TotalSeconds,
            Blocks = BlocksDone,
            BytesSent = peers.BytesSent - sentBefore,
            BytesEarly = early,
        };
    }

    /// <summary>Notes that the state was brought to another operation from outside. Not while an operation is being executed.</summary>
    public void Follow(ulong applied) => Applied = applied;

    /// <summary>Begins to send the state to a joiner, which is then fed with every operation that is applied.</summary>
    /// <exception cref="InvalidOperationException">This worker does not go on with its state.</exception>
    public async Task<StateFeed> FeedAsync()
    {
        var feed = await _feeds.OpenAsync(() => Applied);
        if (_isExecuting)
        {
            feed.Reserve();
            _reduced.Prepare();
        }

        return feed;
    }

    /// <summary>From here on nobody reads the state, which is going to be another one.</summary>
    public Task CloseFeedsAsync() => _feeds.CloseAsync();

    /// <summary>The state stays after all: joiners may copy it again.</summary>
    public void ReopenFeeds() => _feeds.Reopen();

    /// <inheritdoc/>
    public void Dispose()
    {
        _feeds.Dispose();
        _gradients.Dispose();
        _headers.Dispose();
        _reduced.Dispose();
        _empty.Values.Dispose();
    }

    /// <summary>Contributes the root of the operation that was applied last, as often as members missed it.</summary>
    private async Task RepeatAsync(Operation operation, IReadOnlyList<WorkShare> shares, PeerGroup peers, CancellationToken cancellation)
    {
        var root = _root!;
        var reduced = operation.Kind == OperationKind.Train ? _reduced.Of(operation.Number) : _empty;
        var allReduce = Begin(operation, root.HashBefore, SpecOf(operation, shares, peers), SendOf(operation, peers).Shards, reduced, peers);
        await _compute.RunAsync(() =>
        {
            foreach (var node in shares[peers.Rank].Held)
            {
                allReduce.Offer(node, reduced.Values, root.Header);
            }
        });
        _vitals.Begin(WorkerActivity.Exchanging);
        await allReduce.Whole.WaitAsync(cancellation);
        _vitals.Begin(WorkerActivity.Awaiting);
    }

    private ReductionSpec SpecOf(Operation operation, IReadOnlyList<WorkShare> shares, PeerGroup peers) =>
        _foldPerWorker ? ReductionSpec.PerWorker(peers.WorldSize) : ReductionSpec.Canonical(operation.Batches.Blocks, shares);

    private NodeSend SendOf(Operation operation, PeerGroup peers)
    {
        if (operation.Kind != OperationKind.Train)
        {
            return new NodeSend(new ShardTable(tiles: null, peers.WorldSize), layout: null);
        }

        if (_send?.Shards.WorldSize != peers.WorldSize)
        {
            _send = new NodeSend(new ShardTable(_replica.Layout.Tiles, peers.WorldSize), _replica.Layout);

            // What comes before the own node waits, and of a range that is not aligned two nodes may.
            ChunkPayload.Keep(2 * _send.Shards.Chunks(peers.Rank).Count);
        }

        return _send;
    }

    private AllReduce Begin(Operation operation, string weightsHash, ReductionSpec spec, ShardTable shards, ReducedVector reduced, PeerGroup peers)
    {
        var tiles = operation.Kind == OperationKind.Train ? _replica.Layout.Tiles : null;
        var allReduce = new AllReduce(
            operation.Number, HashPrefix(weightsHash), peers.Rank, spec, shards, tiles, _replica.SumCount(operation.Kind), reduced, peers);
        peers.Operations.Begin(allReduce);
        return allReduce;
    }

    /// <summary>Goes on from the nodes of the same operation, where another generation began it, and cut it up likewise.</summary>
    private BlockFold Begin(Operation operation, ReductionSpec spec, PeerGroup peers, ReducedVector reduced)
    {
        var pool = PoolOf(operation);
        if (_begun is var (begun, earlier) && (begun.Number, begun.Geometry) != (operation.Number, operation.Geometry))
        {
            earlier.Release();
            _begun = null;
        }

        var fold = _foldPerWorker
            ? new BlockFold(spec.Covers[peers.Rank][0], pool)
            : new BlockFold(spec, peers.Rank, pool, _begun?.Fold, peers.WorldSize == 1 ? reduced.Values : null);
        _begun = (operation, fold);
        return fold;
    }

    private NodePool PoolOf(Operation operation) => operation.Kind == OperationKind.Train ? _gradients : _headers;

    /// <summary>
    /// All own blocks in one piece of work: handing the thread every block by itself would wake two threads a block, which shows on a busy machine.
    /// </summary>
    private void ComputeBlocks(
        Operation operation, WorkShare own, BlockFold fold, NodeSend send, AllReduce allReduce, PeerGroup peers, CancellationToken cancellation)
    {
        var blocks = own.Compute.Sum(range => range.Count);
        _vitals.Begin(WorkerActivity.Computing);
        Reach(operation, blocks, peers);
        foreach (var (node, buffer) in fold.Kept)
        {
            allReduce.Offer(node, buffer.ToHost(), buffer.Header);
        }

        foreach (var range in own.Compute)
        {
            for (var block = range.First; block < range.End; block++)
            {
                cancellation.ThrowIfCancellationRequested();
                ComputeBlock(operation, block, own.BlockAfter(block), fold, send, allReduce);
                BlocksDone++;
                _vitals.Advance();
                Reach(operation, blocks, peers);
            }
        }

        var rest = fold.Finish(() =>
        {
            var node = PoolOf(operation).Rent();
            node.SetZero(_replica.SumCount(operation.Kind));
            return node;
        });
        if (rest is var (name, sum))
        {
            allReduce.Offer(name, sum.ToHost(), sum.Header);
        }
    }

    /// <summary>Computes a block, and folds and sends the cover node that it completes, if it does.</summary>
    private void ComputeBlock(Operation operation, int block, int? next, BlockFold fold, NodeSend send, AllReduce allReduce)
    {
        CompletingNode? node = null;
        try
        {
            node = fold.Begin(block, _replica.CanAddOnTop(operation, block));
            Action<int>? onFinal = null;
            if (node.IsCover)
            {
                send.Begin(allReduce, node);
                onFinal = operation.Kind == OperationKind.Train && node.FoldsInParts && allReduce.IsWorthEarlySends ? send.TakeFinal : null;
            }

            _replica.Accumulate(operation, block, node.Block, _afterMicroBatch, onFinal, node.IsOnTop, next);
            if (node.IsCover)
            {
                send.Finish();
            }
            else
            {
                node.FoldAll();
            }

            fold.Complete(node);
            node = null;
        }
        catch (Exception e) when (MemoryShortage.Is(e))
        {
            // From here on it waits for the coordinator.
            _vitals.Begin(WorkerActivity.Awaiting);
            throw new MicroBatchException(operation.Number, e);
        }
        finally
        {
            if (node is not null)
            {
                fold.Drop(node);
            }
        }
    }

    private void Reach(Operation operation, int blocks, PeerGroup peers)
    {
        if (operation.Kind == OperationKind.Train)
        {
            _faults?.Reach(new FaultPoint(operation.Step, peers.WorldSize, BlocksDone, BlocksDone == blocks), peers.Cut);
        }
    }

    private AppliedStep Apply(Operation operation, ReducedVector reduced, NodeHeader header)
    {
        _begun?.Fold.Release();
        _begun = null;
        _root = new AppliedRoot(_replica.WeightsHash, header);
        var isStep = operation.Kind == OperationKind.Train;
        var applied = isStep ? _replica.Apply(reduced.Values, header, reduced.TileSquares, operation.LearningRate, operation.Geometry.Global) : default;
        Applied = operation.Number;
        _feeds.Add(operation, header, reduced);
        return applied;
    }

    private static ulong HashPrefix(string hash) => ulong.Parse(hash.AsSpan(0, 16), NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    /// <summary>Of the last operation applied: the hash of the weights it was computed from, and its root's header.</summary>
    private sealed record AppliedRoot(string HashBefore, NodeHeader Header);
}
