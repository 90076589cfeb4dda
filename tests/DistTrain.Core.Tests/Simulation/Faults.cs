using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>What goes wrong, and when: spread over the run, each at a moment of the seed's choosing.</summary>
internal sealed class Faults
{
    private readonly SimulatedRun _run;
    private readonly Random _random;
    private readonly int _interval;
    private int _left;
    private bool _strikesAtApply;
    private bool _isKilledForMemoryAtApply;

    public Faults(SimulatedRun run)
    {
        (_run, _random, _left) = (run, run.Random, run.Case.Faults);
        var (workers, blocks) = ((run.Case.Options.Workers + run.Case.MostWorkers) / 2, run.Case.Options.Batch.Blocks);
        var events = ((int)run.Canonical.Count * ((workers * workers * 2) + blocks + (4 * workers))) + (50 * workers);
        _interval = Math.Max(5, events / (1 + _left) / (1 + _random.Next(4)));
    }

    /// <summary>The last event at which something went wrong or was mended.</summary>
    public long LastEvent { get; private set; }

    /// <summary>When that was.</summary>
    public TimeSpan LastTime { get; private set; }

    private TimeSpan Silence => _run.Case.Timeouts.Silence;

    /// <summary>Lets something go wrong, mostly not.</summary>
    public void Consider()
    {
        if (_left > 0 && _random.Next(_interval) == 0)
        {
            _left--;
            Strike();
            Note();
        }
    }

    /// <summary>A worker has applied an operation, and others may not have: a good moment to lose one of them.</summary>
    public void SeeApply(SimulatedWorker worker)
    {
        if (!_strikesAtApply)
        {
            return;
        }

        _strikesAtApply = false;
        if (_isKilledForMemoryAtApply)
        {
            // It has applied and reported, and others may not have come to it when it is cut up anew.
            _isKilledForMemoryAtApply = false;
            _run.Scheduler.After(TimeSpan.FromMilliseconds(_random.Next(3)), () =>
            {
                if (worker.IsAlive)
                {
                    _run.Trace?.Note($"Worker {worker.Number} is killed for want of memory.");
                    worker.Kill();
                    _run.Start(killedForMemory: worker);
                }
            });
            Note();
            return;
        }

        var members = _run.Workers.Where(w => w.IsAlive && w != worker && w.Generation?.Tag == worker.Generation?.Tag).ToList();
        if (members.Count > 0)
        {
            _run.Scheduler.After(TimeSpan.Zero, members[_random.Next(members.Count)].Kill);
            Note();
        }
    }

    private void Note() => (LastEvent, LastTime) = (_run.Scheduler.Events, _run.Scheduler.Now);

    private void Strike()
    {
        var living = _run.Workers.Where(w => w.IsAlive).ToList();
        var victim = living.Count > 0 ? living[_random.Next(living.Count)] : null;
        switch (_random.Next(32))
        {
            case < 2:
                _run.Disk.Failures = 1 + _random.Next(2);
                break;
            case < 4:
                _run.Coordinator.EffectsLeft = _random.Next(30);
                break;
            case < 8 when living.Count < _run.Case.MostWorkers:
                _run.Start();
                break;
            case < 9:
                living.ForEach(w => w.Kill());
                break;
            case < 12 when victim is not null:
                Pause(victim);
                break;
            case < 14:
                victim?.Leave();
                break;
            case < 16 when victim is not null:
                Cut(victim.Number, SimulatedNetwork.Coordinator, () => { });
                break;
            case < 18:
                victim?.Session?.Reset();
                break;
            case < 20 when victim?.Generation is { IsOver: false } generation:
                _run.Trace?.Note($"A call of worker {victim.Number} is reset.");
                generation.ResetCall(_random.Next(generation.WorldSize));
                break;
            case < 22 when victim is not null && living.Count > 1:
                var other = living.First(w => w != victim);
                Cut(victim.Number, other.Number, () => GiveUp(victim, other));
                break;
            case < 24 when victim is not null:
                _run.Trace?.Note($"Worker {victim.Number} does not get on.");
                victim.Executor.Hang(_random.NextDouble() * 4 * Silence);
                break;
            case < 26:
                (_strikesAtApply, _isKilledForMemoryAtApply) = (true, _random.Next(2) == 0);
                break;
            case < 28 when victim is not null:
                _run.Trace?.Note($"Worker {victim.Number} is short of memory.");
                victim.Executor.IsShortOfMemory = true;
                break;
            case < 29 when victim is not null:
                _run.Trace?.Note($"Worker {victim.Number} is killed for want of memory.");
                victim.Kill();
                _run.Start(killedForMemory: victim);
                break;
            default:
                victim?.Kill();
                break;
        }
    }

    private void Pause(SimulatedWorker worker)
    {
        worker.Pause();
        Mend(() => worker.Continue());
    }

    private void Cut(int one, int other, Action noticed)
    {
        _run.Trace?.Note($"Processes {one} and {other} do not reach each other.");
        _run.Network.Cut(one, other);
        _run.Scheduler.After(Silence, () =>
        {
            if (_run.Network.IsCut(one, other))
            {
                noticed();
            }
        });
        Mend(() => _run.Network.Heal(one, other));
    }

    /// <summary>Two workers that are cut off from each other give up the calls between them.</summary>
    private static void GiveUp(SimulatedWorker one, SimulatedWorker other)
    {
        one.Generation?.GiveUp(other);
        other.Generation?.GiveUp(one);
        foreach (var (learner, source) in new[] { (one, other), (other, one) })
        {
            if (learner.Learning is { } call && call.Source == source)
            {
                call.Cancel();
                learner.EndCopy(call);
            }
        }
    }

    private void Mend(Action mend) => _run.Scheduler.After(_random.NextDouble() * 4 * Silence, () =>
    {
        mend();
        Note();
    });
}
