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
    private EarlySend? _early;
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
        var training = operation.Kind == OperationKind.Train;
        var isApplied = operation.Number == Applied;
        var tiles = training ? _replica.Layout.Tiles : null;
        (_isExecuting, BlocksDone) = (true, 0);
        var isFeeding = await _feeds.ExpectChangeAsync();
        if (isFeeding)
        {
            _reduced.Prepare();
        }

        var reduced = !training ? _empty : isApplied ? _reduced.Of(operation.Number) : await _reduced.TakeAsync(operation.Number, isFeeding);
        var hash = isApplied ? _root!.HashBefore : _replica.WeightsHash;
        var spec = _foldPerWorker
            ? ReductionSpec.PerWorker(peers.WorldSize)
            : ReductionSpec.Canonical(operation.Batches.Blocks, shares);
        var allReduce = new AllReduce(
            operation.Number, HashPrefix(hash), peers.Rank, spec, ShardsOf(tiles, peers), tiles,
            _replica.SumCount(operation.Kind), reduced, peers);
        var sentBefore = peers.BytesSent;
        peers.Operations.Begin(allReduce);

        var started = _time.GetTimestamp();
        await _compute.RunAsync(() =>
        {
            if (isApplied)
            {
                OfferRoot(allReduce, shares[peers.Rank], reduced);
            }
            else if (training)
            {
                ComputeBlocks(operation, shares[peers.Rank], Begin(operation, spec, peers.Rank), allReduce, peers, cancellation);
            }
            else
            {
                // An evaluation may put the average in place of the weights meanwhile.
                _feeds.Change(() =>
                {
                    ComputeBlocks(operation, shares[peers.Rank], Begin(operation, spec, peers.Rank), allReduce, peers, cancellation);
                    return true;
                });
            }
        });
        var computed = _time.GetTimestamp();
        var early = peers.BytesSent - sentBefore;
        _vitals.Begin(WorkerActivity.Exchanging);
        var header = await allReduce.Whole.WaitAsync(cancellation);
        if (isApplied)
        {
            _vitals.Begin(WorkerActivity.Awaiting);
            return null;
        }

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

    private ShardTable ShardsOf(TileTable? tiles, PeerGroup peers)
    {
        if (tiles is null)
        {
            return new ShardTable(tiles, peers.WorldSize);
        }

        if (_early?.Shards.WorldSize != peers.WorldSize)
        {
            _early = new EarlySend(new ShardTable(tiles, peers.WorldSize), _replica.Layout);

            // What comes before the own node waits, and of a range that is not aligned two nodes may.
            ChunkPayload.Keep(2 * _early.Shards.Chunks(peers.Rank).Count);
        }

        return _early.Shards;
    }

    /// <summary>Goes on from the nodes of the same operation, where another generation began it, and cut it up likewise.</summary>
    private BlockFold Begin(Operation operation, ReductionSpec spec, int rank)
    {
        var pool = operation.Kind == OperationKind.Train ? _gradients : _headers;
        if (_begun is var (begun, earlier) && (begun.Number, begun.Geometry) != (operation.Number, operation.Geometry))
        {
            earlier.Release();
            _begun = null;
        }

        var fold = _foldPerWorker ? new BlockFold(spec.Covers[rank][0], pool) : new BlockFold(spec, rank, pool, _begun?.Fold);
        _begun = (operation, fold);
        return fold;
    }

    /// <summary>
    /// All own blocks in one piece of work: handing the thread every block by itself would wake two threads a block, which shows on a busy machine.
    /// </summary>
    private void ComputeBlocks(
        Operation operation, WorkShare own, BlockFold fold, AllReduce allReduce, PeerGroup peers, CancellationToken cancellation)
    {
        var blocks = own.Compute.Sum(range => range.Count);
        _vitals.Begin(WorkerActivity.Computing);
        Reach(operation, blocks, peers);
        foreach (var (node, buffer) in fold.Kept)
        {
            allReduce.Offer(node, buffer.ToHost(), buffer.Header);
        }

        var pool = operation.Kind == OperationKind.Train ? _gradients : _headers;
        foreach (var range in own.Compute)
        {
            for (var block = range.First; block < range.End; block++)
            {
                cancellation.ThrowIfCancellationRequested();
                ComputeBlock(operation, block, own.BlockAfter(block), fold, allReduce, pool);
                BlocksDone++;
                _vitals.Advance();
                Reach(operation, blocks, peers);
            }
        }

        Offer(allReduce, fold.Finish(() =>
        {
            var node = pool.Rent();
            node.SetZero(_replica.SumCount(operation.Kind));
            return node;
        }));
    }

    private void ComputeBlock(Operation operation, int block, int? next, BlockFold fold, AllReduce allReduce, NodePool pool)
    {
        CompletingNode? node = null;
        EarlySend? early = null;
        var (name, buffer, isDone) = (fold.Leaf(block), default(NodeBuffer), false);
        var left = _replica.CanAddOnTop(operation, block) ? fold.TakeLeft(block) : null;
        try
        {
            (name, buffer) = left ?? (name, pool.Rent());
            node = operation.Kind == OperationKind.Train && allReduce.IsWorthEarlySends ? fold.TryBegin(name, buffer) : null;
            early = node is null ? null : _early;
            early?.Begin(allReduce, node!);
            _replica.Accumulate(operation, block, buffer, _afterMicroBatch, early is null ? null : early.TakeFinal, onTop: left is not null, next);
            isDone = true;
        }
        catch (Exception e) when (MemoryShortage.Is(e))
        {
            // From here on it waits for the coordinator.
            _vitals.Begin(WorkerActivity.Awaiting);
            throw new MicroBatchException(operation.Number, e);
        }
        finally
        {
            if (!isDone && node is not null)
            {
                fold.Drop(node);
            }
            else if (!isDone && buffer is not null)
            {
                pool.Return(buffer);
            }
        }

        if (early is null)
        {
            Offer(allReduce, fold.Add(name, buffer));
            return;
        }

        early.Finish();
        fold.Complete(node!);
    }

    private void Reach(Operation operation, int blocks, PeerGroup peers)
    {
        if (operation.Kind == OperationKind.Train)
        {
            _faults?.Reach(new FaultPoint(operation.Step, peers.WorldSize, BlocksDone, BlocksDone == blocks), peers.Cut);
        }
    }

    private void OfferRoot(AllReduce allReduce, WorkShare own, ReducedVector reduced)
    {
        foreach (var node in own.Held)
        {
            allReduce.Offer(node, reduced.Values, _root!.Header);
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

    private static void Offer(AllReduce allReduce, (NodeId Node, NodeBuffer Buffer)? complete)
    {
        if (complete is var (node, buffer))
        {
            allReduce.Offer(node, buffer.ToHost(), buffer.Header);
        }
    }

    private static ulong HashPrefix(string hash) => ulong.Parse(hash.AsSpan(0, 16), NumberStyles.HexNumber, CultureInfo.InvariantCulture);

    /// <summary>Of the last operation applied: the hash of the weights it was computed from, and its root's header.</summary>
    private sealed record AppliedRoot(string HashBefore, NodeHeader Header);
}
