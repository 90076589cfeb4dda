using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>
/// A whole run in one thread: the real machine, and workers that keep to the protocol but to no order among each other. Messages wait as long as the seed
/// likes; workers die, fall silent, join and leave at every point. A gradient is the list of what was added: whoever adds a block twice, leaves one out, or adds
/// out of tree order is found at once.
/// </summary>
internal sealed class RunSimulation
{
    private static readonly WorkerPreparation Proof = new(40, 10, "data", "layout", "probe", StateAfter(0), ["accuracy"], 0, []);

    private readonly int _seed;
    private readonly Random _random;
    private readonly RunOptions _options;
    private readonly RunMachine _machine;
    private readonly SortedDictionary<int, SimulatedWorker> _workers = [];
    private readonly Dictionary<(ulong Generation, ulong Operation), Exchange> _exchanges = [];
    private readonly Dictionary<ulong, IReadOnlyList<int>> _generations = [];
    private readonly Dictionary<ulong, string> _operations = [];
    private readonly Dictionary<long, ulong> _checkpoints = [];
    private readonly int _most;
    private readonly Queue<string> _last = [];
    private IReadOnlyList<int> _members = [];
    private int _troubles;
    private int _failures;
    private TimeSpan _now;
    private ulong _recorded;
    private int _nextId;

    /// <summary>A run.</summary>
    /// <param name="seed">All there is of chance.</param>
    /// <param name="troubles">How many workers are killed, silenced or asked to leave.</param>
    /// <param name="most">How many workers are there at once, at most.</param>
    public RunSimulation(int seed, int troubles, int most)
    {
        (_seed, _random, _troubles, _most) = (seed, new Random(seed), troubles, most);
        _options = new RunOptions
        {
            Workers = _random.Next(1, Math.Min(5, most + 1)),
            Batch = new BatchOptions { Global = _random.Next(5, 60), Micro = _random.Next(1, 9), Blocks = _random.Next(1, 9) },
            Stop = new StopOptions { Epochs = _random.Next(1, 4) },
            Checkpoint = new CheckpointOptions { EverySteps = _random.Next(0, 4) },
        };
        _machine = new RunMachine(_options, "1", "f");
    }

    public RunOutcome? Outcome { get; private set; }

    /// <summary>How often the run went back to a checkpoint.</summary>
    public int Rollbacks { get; private set; }

    /// <summary>Generations so far.</summary>
    public ulong Generations => _machine.Generation;

    /// <summary>Nodes that a later generation took from an earlier one.</summary>
    public int KeptNodes { get; private set; }

    /// <summary>Operations that one worker had to hand to another as a root.</summary>
    public int HandedRoots { get; private set; }

    /// <summary>Blocks computed more than once.</summary>
    public int Recomputed { get; private set; }

    public void Play()
    {
        for (var events = 0; Outcome is null; events++)
        {
            Assert(events < 100_000, "the run neither ends nor goes on");
            _now += TimeSpan.FromMilliseconds(_random.Next(3));
            var choices = Choices().ToList();
            if (choices.Count == 0)
            {
                PassTime();
            }
            else
            {
                choices[_random.Next(choices.Count)]();
            }

            Beat();
        }

        Assert(Outcome.Success, $"{Outcome}");
        Assert(_operations.Count == (int)_recorded, "not every operation was recorded");
    }

    private void PassTime()
    {
        _now += _options.FailureDetection / 2;
        Beat();
        Handle(new RunEvent.TimePassed());
    }

    private void Beat()
    {
        foreach (var worker in _workers.Values.Where(w => w.IsAdmitted && !w.IsSilent))
        {
            Handle(new RunEvent.Heard(worker.Id));
        }
    }

    private IEnumerable<Action> Choices()
    {
        var living = _workers.Values.Where(w => !w.IsDead).ToList();
        if (living.Count < _options.Workers || (living.Count < _most && _random.Next(100) == 0))
        {
            yield return Arrive;
        }

        if (_troubles > 0 && living.Count > 0 && _random.Next(60) == 0)
        {
            yield return () => Trouble(living[_random.Next(living.Count)]);
        }

        foreach (var worker in _workers.Values)
        {
            if (worker.Outbox.Count > 0 && !(worker.IsSilent && !worker.IsDead))
            {
                yield return () => Handle(worker.Outbox.Dequeue());
            }

            if (worker.IsSilent || worker.IsDead)
            {
                continue;
            }

            if (worker.Inbox.Count > 0)
            {
                yield return () => Take(worker, worker.Inbox.Dequeue());
            }

            if (worker.Steps.Count > 0)
            {
                yield return () => Work(worker);
            }

            if (worker.Feed.Count > 0)
            {
                yield return () => Learn(worker);
            }
        }

        foreach (var exchange in _exchanges.Values.Where(e => e.CanTransfer))
        {
            yield return () => exchange.Transfer(_random);
        }

        if (_workers.Values.Any(w => w.IsSilent && w.IsAdmitted))
        {
            yield return PassTime;
        }
    }

    private void Arrive()
    {
        var worker = new SimulatedWorker(_nextId++);
        _workers.Add(worker.Id, worker);
        worker.Outbox.Enqueue(new RunEvent.Arrived(worker.Id, new WorkerHello(RunMachine.Protocol, "1", worker.Id, "host", 1, "http://host:1", "", "")));
    }

    private void Trouble(SimulatedWorker worker)
    {
        _troubles--;
        switch (_random.Next(4))
        {
            case 0:
                worker.IsSilent = true;
                break;
            case 1:
                worker.Outbox.Enqueue(new RunEvent.LeaveAsked(worker.Id, "it was asked to end"));
                break;
            default:
                Kill(worker);
                break;
        }
    }

    /// <summary>What it has said may still arrive, or part of it.</summary>
    private void Kill(SimulatedWorker worker)
    {
        worker.IsDead = true;
        while (worker.Outbox.Count > 0 && _random.Next(2) == 0)
        {
            worker.Outbox.Dequeue();
        }

        worker.Outbox.Enqueue(new RunEvent.Gone(worker.Id, "its connection broke"));

        foreach (var learner in _workers.Values.Where(w => w.Source == worker))
        {
            EndFeed(learner);
        }
    }

    private static void EndFeed(SimulatedWorker learner)
    {
        learner.Source = null;
        learner.Feed.Clear();
        learner.Outbox.Enqueue(new RunEvent.LearningFailed(learner.Id, "the source ended the call"));
    }

    /// <summary>A worker reads a message.</summary>
    private void Take(SimulatedWorker worker, RunEffect message)
    {
        switch (message)
        {
            case RunEffect.Prepare { Build: true }:
                Handle(new RunEvent.CheckpointPublished(0));
                worker.Begin(0);
                worker.Outbox.Enqueue(new RunEvent.Prepared(worker.Id, Proof));
                break;
            case RunEffect.Prepare e:
                worker.Stop();
                Assert(e.Applied == _checkpoints.GetValueOrDefault(e.Checkpoint), $"checkpoint {e.Checkpoint} holds another state");
                worker.Begin(e.Applied);
                worker.Outbox.Enqueue(new RunEvent.Prepared(worker.Id, Proof with { WeightsHash = StateAfter(e.Applied) }));
                break;
            case RunEffect.Learn e:
                worker.Stop();
                worker.Source = _workers[e.Source];
                if (worker.Source.IsDead || worker.Source.Generation == 0)
                {
                    EndFeed(worker);
                    break;
                }

                worker.Begin(worker.Source.Applied);
                worker.Outbox.Enqueue(new RunEvent.Prepared(
                    worker.Id, Proof with { Applied = worker.Applied, WeightsHash = StateAfter(worker.Applied) }));
                break;
            case RunEffect.FormGeneration e:
                worker.Stop();
                worker.Generation = e.Generation;
                worker.Outbox.Enqueue(new RunEvent.Linked(worker.Id, e.Generation, worker.Applied, [.. worker.HeldNames]));
                break;
            case RunEffect.Issue e:
                worker.Steps.Enqueue(e);
                break;
            case RunEffect.Save e:
                Publish(worker, e.Step);
                break;
            case RunEffect.Dismiss or RunEffect.Refuse:
                worker.IsDead = true;
                worker.Outbox.Clear();
                break;
        }
    }

    /// <summary>A worker goes on with its operation: computes a block, or applies.</summary>
    private void Work(SimulatedWorker worker)
    {
        var issue = worker.Steps.Peek();
        var operation = issue.Operation;
        var members = _generations[worker.Generation];
        var rank = members.ToList().IndexOf(worker.Id);
        var key = (worker.Generation, operation.Number);
        var isApplied = operation.Number == worker.Applied;
        Assert(isApplied || operation.Number == worker.Applied + 1, $"worker {worker.Id} at {worker.Applied} was given {operation.Number}");
        if (!_exchanges.TryGetValue(key, out var exchange))
        {
            _exchanges.Add(key, exchange = new Exchange(this, operation, [.. members.Select(m => _workers[m])]));
        }

        var share = issue.Shares?[rank] ?? WorkShare.Of(PlanOf(operation, members.Count)[rank]);
        if (worker.Progress is null)
        {
            worker.BeginOperation(operation, share, isApplied);
            KeptNodes += isApplied ? 0 : share.Held.Count;
            HandedRoots += isApplied ? share.Held.Count : 0;
        }

        if (worker.Progress!.Blocks.TryDequeue(out var block))
        {
            Recomputed += worker.Compute(operation, block) ? 0 : 1;
        }
        else if (!worker.Progress.HasContributed)
        {
            worker.Progress.HasContributed = true;
            exchange.Contribute(rank, share.Cover(exchange.Tree).Select(node => (node, worker.ValueOf(node, exchange.Tree, isApplied))));
        }
        else if (exchange.IsWholeAt(rank))
        {
            worker.Steps.Dequeue();
            worker.Progress = null;
            if (!isApplied)
            {
                Apply(worker, issue, exchange, rank);
            }
        }
    }

    private void Apply(SimulatedWorker worker, RunEffect.Issue issue, Exchange exchange, int rank)
    {
        worker.Begin(issue.Operation.Number);
        foreach (var learner in _workers.Values.Where(w => w.Source == worker && !w.IsDead))
        {
            learner.Feed.Enqueue(worker.Applied);
        }

        if (issue.CheckpointWriter == rank)
        {
            Publish(worker, issue.Operation.Step);
        }

        worker.Outbox.Enqueue(new RunEvent.Reported(worker.Id, new OperationReport
        {
            Generation = worker.Generation,
            Operation = issue.Operation.Number,
            WeightsHash = StateAfter(issue.Operation.Number),
            Weight = exchange.Tree.Blocks,
        }));
    }

    private void Publish(SimulatedWorker worker, long step)
    {
        if (_random.Next(10) == 0 && _failures++ < 2)
        {
            Handle(new RunEvent.CheckpointFailed(worker.Id, step, "no space left"));
            return;
        }

        _failures = 0;
        _checkpoints[step] = worker.Applied;
        Handle(new RunEvent.CheckpointPublished(step));
    }

    private void Learn(SimulatedWorker worker)
    {
        var next = worker.Feed.Dequeue();
        Assert(next == worker.Applied + 1, $"learner {worker.Id} at {worker.Applied} was fed {next}");
        worker.Begin(next);
        worker.Outbox.Enqueue(new RunEvent.Learned(worker.Id, next));
    }

    private void Handle(RunEvent happened)
    {
        if (Outcome is not null)
        {
            return;
        }

        if (happened is not (RunEvent.Heard or RunEvent.TimePassed))
        {
            Note($"> {happened}");
        }

        foreach (var effect in _machine.Handle(happened, _now))
        {
            Note($"  {effect}");
            Assert(Outcome is null, $"{effect} after the end");
            CarryOut(effect);
        }
    }

    private void CarryOut(RunEffect effect)
    {
        switch (effect)
        {
            case RunEffect.Welcome e:
                _workers[e.Worker].IsAdmitted = true;
                break;
            case RunEffect.Prepare e:
                _workers[e.Worker].Inbox.Enqueue(e);
                break;
            case RunEffect.Learn e:
                Assert(e.Worker != e.Source, "a worker learns from itself");
                _workers[e.Worker].Inbox.Enqueue(e);
                break;
            case RunEffect.Save e:
                _workers[e.Worker].Inbox.Enqueue(e);
                break;
            case RunEffect.Refuse e:
                _workers[e.Worker].IsAdmitted = false;
                _workers[e.Worker].Inbox.Enqueue(e);
                break;
            case RunEffect.Dismiss e:
                _workers[e.Worker].IsAdmitted = false;
                _workers[e.Worker].IsSilent = false;
                _workers[e.Worker].Inbox.Enqueue(e);
                break;
            case RunEffect.FormGeneration e:
                Assert(e.Generation == (ulong)_generations.Count + 1, "generations follow each other");
                Assert(e.Members.Count > 0 && e.Members.Distinct().Count() == e.Members.Count, "members are all different");
                _generations.Add(e.Generation, _members = e.Members);
                Send(effect);
                break;
            case RunEffect.Issue e:
                CheckShares(e);
                Send(effect);
                break;
            case RunEffect.Record e:
                Assert(e.Operation.Number == _recorded + 1, $"operation {e.Operation.Number} is recorded after {_recorded}");
                Assert(e.Reports.All(r => r.WeightsHash == StateAfter(e.Operation.Number)), "a record of other weights");
                var same = _operations.TryAdd(e.Operation.Number, $"{e.Operation}") || _operations[e.Operation.Number] == $"{e.Operation}";
                Assert(same, $"operation {e.Operation.Number} was another one before");
                _recorded++;
                break;
            case RunEffect.Announce { Name: "rollback" }:
                Rollbacks++;
                _recorded = _checkpoints.GetValueOrDefault(_machine.Checkpoint);
                break;
            case RunEffect.Finish e:
                Outcome = e.Outcome;
                break;
        }
    }

    private void CheckShares(RunEffect.Issue issue)
    {
        var tree = new ReductionTree(issue.Operation.Batches.Blocks);
        if (issue.Shares is not { } shares)
        {
            return;
        }

        Assert(shares.Count == _members.Count, "a share for every rank");
        var blocks = shares.SelectMany(s => s.Cover(tree)).SelectMany(n => Enumerable.Range(ReductionTree.FirstBlock(n), tree.EndBlock(n) - ReductionTree.FirstBlock(n)));
        Assert(blocks.Order().SequenceEqual(Enumerable.Range(0, tree.Blocks)), "the shares are no partition of the blocks");
    }

    private void Send(RunEffect effect)
    {
        foreach (var member in _members)
        {
            _workers[member].Inbox.Enqueue(effect);
        }
    }

    private static IReadOnlyList<BlockRange> PlanOf(Operation operation, int members) =>
        BlockPlanner.Plan(operation.Batches.Blocks, [.. Enumerable.Repeat(new WorkerSpeed(1), members)], 0.01);

    private static string StateAfter(ulong operation) => $"weights after {operation}";

    private void Assert(bool holds, string what)
    {
        if (!holds)
        {
            throw new InvalidOperationException(
                $"seed {_seed}, generation {_machine.Generation}, {_now}: {what}. The last events and effects:\n{string.Join('\n', _last)}");
        }
    }

    private void Note(string what)
    {
        _last.Enqueue(what);
        if (_last.Count > 40)
        {
            _last.Dequeue();
        }
    }

    /// <summary>One all-reduce of one generation. Shards of an owner that is gone still arrive where they were sent already.</summary>
    private sealed class Exchange(RunSimulation world, Operation operation, IReadOnlyList<SimulatedWorker> members)
    {
        private readonly TreeFold<string> _fold = new(new ReductionTree(operation.Batches.Blocks), (left, right) => $"({left}+{right})");
        private readonly HashSet<int> _contributed = [];
        private readonly HashSet<(int Owner, int Receiver)> _arrived = [];

        public ReductionTree Tree { get; } = new(operation.Batches.Blocks);

        public bool CanTransfer => _contributed.Count == members.Count && Open.Any();

        private IEnumerable<(int Owner, int Receiver)> Open =>
            from owner in Enumerable.Range(0, members.Count)
            from receiver in Enumerable.Range(0, members.Count)
            where !_arrived.Contains((owner, receiver)) && !members[owner].IsDead && !members[receiver].IsDead && !members[owner].IsSilent
            select (owner, receiver);

        public void Contribute(int rank, IEnumerable<(NodeId Node, string Value)> nodes)
        {
            world.Assert(_contributed.Add(rank), $"rank {rank} contributed twice to {operation.Number}");
            var root = "";
            foreach (var (node, value) in nodes)
            {
                root = _fold.Add(node, value).Value;
            }

            if (_contributed.Count == members.Count)
            {
                world.Assert(_fold.Waiting.Count == 1 && _fold.Waiting.TryGetValue(Tree.Root, out root), $"operation {operation.Number} has no root");
                world.Assert(root == SimulatedWorker.Sum(Tree, Tree.Root), $"operation {operation.Number} was added as {root}");
            }
        }

        public void Transfer(Random random)
        {
            var open = Open.ToList();
            _arrived.Add(open[random.Next(open.Count)]);
        }

        public bool IsWholeAt(int rank) => Enumerable.Range(0, members.Count).All(owner => _arrived.Contains((owner, rank)));
    }
}
