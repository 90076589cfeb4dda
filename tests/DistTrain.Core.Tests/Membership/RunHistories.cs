using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>
/// Whole runs as random histories: workers that keep to the protocol but to no order among each other, late arrivals, liars, silence, losses, and now and then an
/// event that has no place. After every event the invariants of a run hold, and a history without trouble ends in success.
/// </summary>
public class RunHistories
{
    [Fact]
    public void A_run_without_trouble_completes_whatever_the_order()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var history = new History(seed, trouble: 0);
            history.Play();
            Assert.True(history.Outcome is { Success: true }, $"seed {seed}: {history.Outcome}");
        }
    }

    [Fact]
    public void Whatever_happens_the_invariants_hold_and_the_run_ends_with_a_sentence()
    {
        var (completed, failed) = (0, 0);
        for (var seed = 0; seed < 1000; seed++)
        {
            var history = new History(seed, trouble: 0.02);
            history.Play();
            Assert.True(history.Outcome is { Sentence.Length: > 5 }, $"seed {seed}");
            _ = history.Outcome!.Success ? completed++ : failed++;
        }

        Assert.InRange(completed, 50, 950);
        Assert.InRange(failed, 50, 950);
    }

    private sealed class History
    {
        private static readonly WorkerPreparation Proof = new(40, 10, "data", "layout", "probe", "weights", ["accuracy"], []);

        private readonly int _seed;
        private readonly Random _random;
        private readonly double _trouble;
        private readonly RunOptions _options;
        private readonly RunMachine _machine;
        private readonly Dictionary<int, Actor> _actors = [];
        private readonly List<Operation> _issued = [];
        private readonly HashSet<int> _refused = [];
        private readonly Dictionary<ulong, int> _reports = [];
        private readonly HashSet<long> _checkpoints = [];
        private TimeSpan _now;
        private IReadOnlyList<int> _members = [];
        private ulong _recorded;
        private int _nextId;

        public History(int seed, double trouble)
        {
            (_seed, _random, _trouble) = (seed, new Random(seed), trouble);
            _options = new RunOptions
            {
                Workers = _random.Next(1, 5),
                Batch = new BatchOptions { Global = _random.Next(5, 60) },
                Stop = new StopOptions { Epochs = _random.Next(1, 4) },
                Checkpoint = new CheckpointOptions { EverySteps = _random.Next(0, 4) },
            };
            _machine = new RunMachine(_options, "1", "f");
        }

        public RunOutcome? Outcome { get; private set; }

        public void Play()
        {
            for (var events = 0; Outcome is null; events++)
            {
                Assert.True(events < 20_000, $"seed {_seed}: the run neither ends nor goes on");
                _now += TimeSpan.FromMilliseconds(_random.Next(3));
                if (_random.NextDouble() < _trouble)
                {
                    Handle(Trouble());
                    continue;
                }

                var choices = _actors.Values.Where(a => a.Pending.Count > 0).Select(a => (Func<RunEvent>)(() => Act(a))).ToList();
                if (_nextId < _options.Workers + 2 || _actors.Count(a => !_refused.Contains(a.Key)) < _options.Workers)
                {
                    choices.Add(Arrival);
                }

                choices.AddRange(_checkpoints.Select(step => (Func<RunEvent>)(() =>
                {
                    _checkpoints.Remove(step);
                    return new RunEvent.CheckpointPublished(step);
                })));
                choices.Add(() => new RunEvent.TimePassed());
                Handle(choices[_random.Next(choices.Count)]());
                foreach (var actor in _actors.Values.Where(a => a.IsMember))
                {
                    Handle(new RunEvent.Heard(actor.Id));
                }
            }
        }

        private RunEvent Arrival()
        {
            var id = _nextId++;
            _actors.Add(id, new Actor(id));
            return new RunEvent.Arrived(id, new WorkerHello(1, _random.Next(10) == 0 ? "other" : "1", id, "host", 1, "http://host:1", "", ""));
        }

        private RunEvent Act(Actor actor) => actor.Pending.Dequeue() switch
        {
            RunEffect.Prepare { Build: true } => Build(actor),
            RunEffect.Prepare => new RunEvent.Prepared(actor.Id, _random.Next(10) == 0 ? Proof with { DataFingerprint = "other" } : Proof),
            RunEffect.FormGeneration e => new RunEvent.Linked(actor.Id, e.Generation),
            RunEffect.Issue e => Report(actor, e.Operation),
            var other => throw new InvalidOperationException($"{other}"),
        };

        private RunEvent.Prepared Build(Actor actor)
        {
            Handle(new RunEvent.CheckpointPublished(0));
            return new RunEvent.Prepared(actor.Id, Proof);
        }

        private RunEvent.Reported Report(Actor actor, Operation operation)
        {
            _reports[operation.Number] = _reports.GetValueOrDefault(operation.Number) + 1;
            if (operation.WritesCheckpoint && _members[0] == actor.Id)
            {
                _checkpoints.Add(operation.Step);
            }

            return new RunEvent.Reported(actor.Id, new OperationReport
            {
                Generation = 1,
                Operation = operation.Number,
                WeightsHash = $"{operation.Step}",
                Weight = operation.Samples.Count,
            });
        }

        private RunEvent Trouble()
        {
            var id = _random.Next(-1, _nextId + 2);
            if (_random.Next(40) == 0)
            {
                _now += _options.FailureDetection + TimeSpan.FromSeconds(1);
                return new RunEvent.TimePassed();
            }

            return _random.Next(9) switch
            {
                0 => new RunEvent.Gone(id, "it broke"),
                1 => new RunEvent.Faulted(id, "it broke"),
                2 => new RunEvent.Linked(id, (ulong)_random.Next(3)),
                3 => Lie((ulong)_random.Next(6)),
                4 => new RunEvent.Prepared(id, _random.Next(2) == 0 ? Proof : Proof with { TrainingSamples = 0 }),
                _ => new RunEvent.Heard(id),
            };
        }

        private RunEvent.Reported Lie(ulong operation)
        {
            _reports[operation] = _reports.GetValueOrDefault(operation) + 1;
            return new RunEvent.Reported(
                _random.Next(_nextId + 1), new OperationReport { Generation = 1, Operation = operation, WeightsHash = "x" });
        }

        private void Handle(RunEvent happened)
        {
            var effects = _machine.Handle(happened, _now);
            if (Outcome is not null)
            {
                Assert.Empty(effects);
                return;
            }

            if (happened is RunEvent.Linked { Generation: 1 } linked && _members.Contains(linked.Worker))
            {
                _actors[linked.Worker].IsLinked = true;
            }

            foreach (var effect in effects)
            {
                Assert.True(Outcome is null, $"seed {_seed}: {effect} after the end");
                Check(effect);
            }

            if (happened is RunEvent.Gone or RunEvent.Faulted && Outcome is null)
            {
                Assert.True(!_actors.TryGetValue(IdOf(happened), out var actor) || !actor.IsMember, $"seed {_seed}: a member went unnoticed");
            }
        }

        private static int IdOf(RunEvent happened) => happened is RunEvent.Gone gone ? gone.Worker : ((RunEvent.Faulted)happened).Worker;

        private void Check(RunEffect effect)
        {
            switch (effect)
            {
                case RunEffect.Welcome e:
                    _actors[e.Worker].IsMember = true;
                    Assert.True(_actors.Values.Count(a => a.IsMember) <= _options.Workers);
                    break;
                case RunEffect.Refuse e:
                    Assert.True(_refused.Add(e.Worker));
                    Assert.DoesNotContain(e.Worker, _members);
                    _actors[e.Worker].IsMember = false;
                    _actors[e.Worker].Pending.Clear();
                    break;
                case RunEffect.Prepare e:
                    Assert.True(_actors[e.Worker].IsMember);
                    Assert.Equal(e.Build, _actors.Values.All(a => !a.WasPrepared));
                    _actors[e.Worker].WasPrepared = true;
                    _actors[e.Worker].Pending.Enqueue(e);
                    break;
                case RunEffect.FormGeneration e:
                    Assert.Empty(_members);
                    Assert.Equal(_options.Workers, e.Members.Count);
                    Assert.All(e.Members, m => Assert.True(_actors[m].IsMember));
                    _members = e.Members;
                    SendAll(e);
                    break;
                case RunEffect.Issue e:
                    Assert.True(_members.All(m => _actors[m].IsLinked), $"seed {_seed}: not all linked");
                    Assert.Equal((ulong)_issued.Count + 1, e.Operation.Number);
                    Assert.True(e.Operation.Number <= 2 || _reports.GetValueOrDefault(e.Operation.Number - 2) > 0, $"seed {_seed}: {e.Operation.Number} too soon");
                    Assert.DoesNotContain(_issued, o => o.IsLast);
                    Assert.Equal(e.Operation.WritesCheckpoint ? 0 : -1, e.CheckpointWriter);
                    _issued.Add(e.Operation);
                    SendAll(e);
                    break;
                case RunEffect.Record e:
                    Assert.Equal(++_recorded, e.Operation.Number);
                    Assert.Equal(_members.Count, e.Reports.Count);
                    Assert.True(_reports[e.Operation.Number] >= _members.Count, $"seed {_seed}: {e.Operation.Number} recorded too soon");
                    break;
                case RunEffect.Finish e:
                    Outcome = e.Outcome;
                    Assert.True(_machine.HasEnded);
                    Assert.True(!e.Outcome.Success || (_issued[^1].IsLast && _recorded == (ulong)_issued.Count), $"seed {_seed}: too soon");
                    break;
            }
        }

        private void SendAll(RunEffect effect)
        {
            foreach (var member in _members)
            {
                _actors[member].Pending.Enqueue(effect);
            }
        }

        private sealed class Actor(int id)
        {
            public int Id => id;

            public bool IsMember { get; set; }

            public bool WasPrepared { get; set; }

            public bool IsLinked { get; set; }

            public Queue<RunEffect> Pending { get; } = [];
        }
    }
}
