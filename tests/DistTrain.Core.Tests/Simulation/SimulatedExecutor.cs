using DistTrain.Core.Membership;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>
/// A worker's state and what it does with it, block by block: compute, send, wait for the sum, apply, report. It outlives generations: the nodes of an operation that
/// broke off are kept, and the root of the last one that was applied.
/// </summary>
internal sealed class SimulatedExecutor(SimulatedRun run, SimulatedWorker worker) : Source
{
    private readonly Queue<int> _blocks = [];
    private readonly List<HealCall> _feeds = [];
    private SimulatedAllReduce? _current;
    private (Operation Operation, NodeFold Fold)? _begun;
    private (Gradient Sum, ulong WeightsBefore)? _root;
    private (SimulatedCheckpoint State, OperationReport Report)? _waitingToWrite;
    private bool _hasContributed;
    private bool _hangs;
    private bool _isWaitingForGeneration;
    private TimeSpan _begunAt;
    private TimeSpan _computedAt;

    /// <summary>The last operation the state contains.</summary>
    public ulong Applied { get; private set; }

    /// <summary>The weights; 0 where there are none, or only part of them.</summary>
    public ulong Weights { get; private set; }

    /// <summary>The operation it carries out, or carried out last.</summary>
    public ulong Operation { get; private set; }

    /// <summary>Own blocks of it that are done.</summary>
    public int BlocksDone { get; private set; }

    /// <summary>An operation that was applied, and whose state cannot be written before the one before is.</summary>
    public bool IsWaitingToWrite => _waitingToWrite is not null;

    /// <summary>The nodes it holds of the operation after <see cref="Applied"/>.</summary>
    public IReadOnlyList<NodeId> Held => _begun is var (operation, fold) && operation.Number == Applied + 1 ? fold.Held : [];

    /// <summary>Most samples of a micro-batch of the operation whose nodes it holds.</summary>
    public int HeldMicro => _begun?.Operation.Geometry.Micro ?? 0;

    /// <summary>Whether its next micro-batch, if that has halves, will not fit.</summary>
    public bool IsShortOfMemory { get; set; }

    /// <summary>The state is another one, from outside. Who copied the old one hears nothing more.</summary>
    public void Begin(ulong applied, ulong weights)
    {
        (Applied, Weights, _begun, _root) = (applied, weights, null, null);
        run.Invariants.Replace(worker);
        _feeds.Clear();
    }

    /// <summary>Part of the state is another one.</summary>
    public void Tear()
    {
        Weights = 0;
        _feeds.Clear();
    }

    /// <summary>A learner's state contains one more operation.</summary>
    public void Follow(Operation operation, Gradient sum)
    {
        (Applied, Weights) = (operation.Number, CanonicalRun.WeightsAfter(Weights, operation, sum.Bits));
    }

    /// <summary>Copies the state for a joiner, which is then sent every operation that is applied.</summary>
    public void Feed(HealCall joiner)
    {
        _feeds.Add(joiner);
        joiner.SendState(Applied, Weights);
    }

    /// <summary>The process ends.</summary>
    public void EndFeeds()
    {
        _feeds.ForEach(f => f.Feed.Break());
        _feeds.Clear();
    }

    /// <summary>It does not get on for a while, though the process lives.</summary>
    public void Hang(TimeSpan time)
    {
        _hangs = true;
        run.Scheduler.After(time, () =>
        {
            _hangs = false;
            run.Scheduler.Wake(this);
        });
    }

    /// <summary>Breaks off what is under way; what is held stays.</summary>
    public void Stop()
    {
        (_current, _isWaitingForGeneration) = (null, false);
        _blocks.Clear();
        run.Scheduler.Sleep(this);
    }

    /// <summary>A state was written, or is given up.</summary>
    public void FinishUpload()
    {
        if (_waitingToWrite is var (state, report))
        {
            _waitingToWrite = null;
            if (worker.Session is { } session)
            {
                session.Upload(state);
                worker.Send(new RunEvent.Reported(session.Id, report));
                run.Scheduler.Wake(this);
            }
        }
    }

    public override void Run()
    {
        if (run.IsPaused(this, worker.Number))
        {
            return;
        }

        var generation = worker.Generation;
        if (_hangs || _isWaitingForGeneration || IsWaitingToWrite || generation is null || generation.IsOver)
        {
            run.Scheduler.Sleep(this);
        }
        else if (_current is null)
        {
            if (generation.TakeNext() is { } operation)
            {
                Begin(operation, generation);
            }
            else
            {
                run.Scheduler.Sleep(this);
            }
        }
        else if (_blocks.TryDequeue(out var block))
        {
            Compute(block);
        }
        else if (!_hasContributed)
        {
            (_hasContributed, _computedAt) = (true, run.Scheduler.Now);
            run.Invariants.EveryBlockIsContributed(_current);
        }
        else if (_current.IsWhole || IsTakenForWhole(_current))
        {
            Complete(_current);
        }
        else
        {
            run.Scheduler.Sleep(this);
        }
    }

    private bool IsTakenForWhole(SimulatedAllReduce reduction) =>
        run.Case.Bug == PlantedBug.PartialApply && reduction.Missing == 1 && reduction.Generation.WorldSize > 1;

    private void Begin(IssuedOperation issued, SimulatedGeneration generation)
    {
        var isApplied = issued.Number == Applied;
        run.Invariants.OperationsComeInOrder(worker, issued.Number);
        _current = generation.Begin(issued, isApplied ? _root!.Value.WeightsBefore : Weights);
        (_hasContributed, _begunAt, Operation, BlocksDone) = (false, run.Scheduler.Now, issued.Number, 0);
        var share = issued.Shares[generation.Rank];
        if (isApplied)
        {
            foreach (var node in share.Held)
            {
                run.Counts.HandedRoots++;
                Offer(node, _root!.Value.Sum);
            }

            return;
        }

        var fold = new NodeFold(_current.Tree, issued.Covers[generation.Rank], _begun is var (begun, earlier) && (begun.Number, begun.Geometry) == (issued.Number, issued.Issue.Operation.Geometry) ? earlier : null);
        _begun = (issued.Issue.Operation, fold);
        foreach (var (node, sum) in fold.Kept)
        {
            run.Counts.KeptNodes++;
            Offer(node, sum);
        }

        foreach (var range in share.Compute)
        {
            for (var block = range.First; block < range.End; block++)
            {
                _blocks.Enqueue(block);
            }
        }
    }

    private void Compute(int block)
    {
        var reduction = _current!;
        if (IsShortOfMemory && Math.Min(reduction.Operation.Geometry.Micro, reduction.Operation.Samples.Count) > 1 && run.Disk.MayNotFit(reduction.Number))
        {
            IsShortOfMemory = false;
            worker.Send(new RunEvent.OutOfMemory(worker.Session!.Id, reduction.Generation.Tag.Generation, reduction.Number, "no memory left"));
            Stop();
            _isWaitingForGeneration = true;
            return;
        }

        run.Invariants.OnlyWhatNobodyHoldsIsComputed(reduction, block);
        BlocksDone++;
        if (_begun!.Value.Fold.Add(block, Gradient.OfBlock(Weights, reduction.Operation, block)) is var (node, sum))
        {
            Offer(node, sum);
        }
    }

    private void Offer(NodeId node, Gradient sum)
    {
        run.Invariants.NoBlockIsContributedTwice(_current!, worker, node);
        _current!.Offer(node, sum);
    }

    private void Complete(SimulatedAllReduce reduction)
    {
        _current = null;
        var isApplied = reduction.Number == Applied;
        if (isApplied && run.Case.Bug != PlantedBug.StepAppliedTwice)
        {
            return;
        }

        run.Invariants.StepsAreAppliedOnce(worker, reduction);
        run.Invariants.NothingChangesBeforeTheStepIsWhole(worker, reduction);
        _begun = null;
        var sum = reduction.Result;
        _root = (sum, Weights);
        (Applied, Weights) = (reduction.Number, CanonicalRun.WeightsAfter(Weights, reduction.Operation, sum.Bits));
        _feeds.RemoveAll(feed => !feed.Add(reduction.Operation, sum));
        Report(reduction);
        run.Faults.SeeApply(worker);
    }

    private void Report(SimulatedAllReduce reduction)
    {
        var session = worker.Session!;
        var report = new OperationReport
        {
            Generation = reduction.Generation.Tag.Generation,
            Operation = reduction.Number,
            WeightsHash = run.Canonical.NameOf(Weights),
            LossSum = CanonicalRun.LossOf(Weights) * reduction.Operation.Samples.Count,
            Weight = reduction.Operation.Samples.Count,
            Gradients = reduction.Operation.Kind == OperationKind.Train ? CanonicalRun.GradientsOf(Weights, reduction.Operation) : null,
            Blocks = BlocksDone,
            ComputeSeconds = (_computedAt - _begunAt).TotalSeconds,
            ExchangeSeconds = (run.Scheduler.Now - _computedAt).TotalSeconds,
        };
        worker.Reports.Add(report);
        if (reduction.Issued.Issue.CheckpointWriter == reduction.Generation.Rank)
        {
            var checkpoint = new SimulatedCheckpoint(reduction.Operation.Step, Weights);
            if (session.IsUploading)
            {
                _waitingToWrite = (checkpoint, report);
                return;
            }

            session.Upload(checkpoint);
        }

        worker.Send(new RunEvent.Reported(session.Id, report));
    }
}
