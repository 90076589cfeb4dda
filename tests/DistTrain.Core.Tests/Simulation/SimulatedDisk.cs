using DistTrain.Core.BatchScience;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A state that was written.</summary>
internal sealed record SimulatedCheckpoint(long Step, ulong Weights);

/// <summary>The run's folder: a journal that is durable at once, lines of completed operations that become so later, checkpoints that are whole or not there.</summary>
internal sealed class SimulatedDisk(SimulatedRun run)
{
    private readonly List<JournalEntry> _journal = [];
    private readonly List<Operation> _lines = [];
    private readonly List<int> _linesOf = [];
    private readonly SortedDictionary<long, SimulatedCheckpoint> _checkpoints = [];
    private int _durable;
    private int _failedInARow;
    private int _repeatedShortages;

    /// <summary>How many attempts to write a checkpoint will fail, though never so many in a row that the run would give up.</summary>
    public int Failures { get; set; }

    /// <summary>The last operation up to which every one has its line.</summary>
    public ulong Recorded { get; private set; }

    /// <summary>The last operation up to which every one has a line that a power cut leaves.</summary>
    public ulong Durable { get; private set; }

    /// <summary>The last generation in the journal; 0 for none.</summary>
    public ulong Generation { get; private set; }

    public void Write(JournalEntry entry)
    {
        _journal.Add(entry);
        if (entry is JournalEntry.Generation generation)
        {
            // A member that joins now cannot report what came before.
            Generation = generation.Number;
            Flush();
        }

        if (entry is JournalEntry.MicroBatch found)
        {
            run.Counts.Searches++;
            run.Invariants.TheSizeIsFoundOnce(found.Size);
            var options = run.Case.Given.WithMicro(found.Size);
            run.Canonical.Begin(options, new RunCourse(options, run.Case.TrainingSamples, run.Case.ValidationSamples));
        }

        if (entry is JournalEntry.Decision { Made: var made })
        {
            run.Counts.Decisions += made.EndsRun ? 0 : 1;
            run.Counts.EarlyStops += made.EndsRun ? 1 : 0;
            run.Invariants.DecisionsAreThoseOfTheRunAndNobodyIsPastThem(made);
        }

        if (entry is JournalEntry.Geometry geometry)
        {
            run.Counts.Halvings++;
            run.Invariants.NothingAppliedIsCutUpAnew(run.Canonical.Change(geometry.Change));
        }
    }

    public void Append(Operation operation)
    {
        _lines.Add(operation);
        Count(operation, 1);
    }

    /// <summary>Makes all lines durable.</summary>
    public void Flush() => (_durable, Durable) = (_lines.Count, Recorded);

    /// <summary>A coordinator ends in the middle: of the lines that were not made durable some are there.</summary>
    public void Tear()
    {
        var whole = run.Random.Next(_durable, _lines.Count + 1);
        for (var line = whole; line < _lines.Count; line++)
        {
            Count(_lines[line], -1);
        }

        _lines.RemoveRange(whole, _lines.Count - whole);
        Flush();
    }

    public SimulatedCheckpoint? Checkpoint(long step) => _checkpoints.GetValueOrDefault(step);

    /// <summary>Whether one more attempt to write a checkpoint may fail without the run giving up.</summary>
    public bool MayFail() => ++_failedInARow < RunMachine.MaxSaves;

    /// <summary>Whether an operation may not fit a worker's memory without the run giving up: one that has its line is not cut up anew.</summary>
    public bool MayNotFit(ulong operation) => operation > Recorded || ++_repeatedShortages < RunMachine.MaxRepeatedShortages;

    /// <summary>Publishes a checkpoint.</summary>
    /// <returns>False where the disk is full; null where this very state is there already.</returns>
    public bool? Publish(SimulatedCheckpoint checkpoint)
    {
        if (_checkpoints.GetValueOrDefault(checkpoint.Step) == checkpoint)
        {
            return null;
        }

        if (checkpoint.Step > 0 && Failures > 0 && MayFail())
        {
            Failures--;
            return false;
        }

        _failedInARow = 0;
        _checkpoints[checkpoint.Step] = checkpoint;
        return true;
    }

    /// <summary>
    /// Throws old checkpoints away: neither the newest ones nor that to which the run goes back, of which first the lines become durable; without them it would not count
    /// for a coordinator that starts again.
    /// </summary>
    public void Retire(long counted)
    {
        while (_checkpoints.Count > run.Case.Options.Checkpoint.Keep && _checkpoints.First().Key < counted)
        {
            Flush();
            _checkpoints.Remove(_checkpoints.First().Key);
        }
    }

    public void Discard(long step) => _checkpoints.Remove(step);

    public void DiscardFrom(long step) => _checkpoints.Keys.Where(s => s >= step).ToList().ForEach(s => _checkpoints.Remove(s));

    /// <summary>What a coordinator that starts again finds.</summary>
    public RunMemory Memory()
    {
        var isForgotten = run.Case is { Bug: PlantedBug.MomentsForgotten, Options.Batch.Schedule.FollowsEvidence: false };
        var (step, losses, moments) = (0L, new Dictionary<long, double>(), new Dictionary<long, GradientMoments>());
        for (var number = 1UL; number <= Recorded; number++)
        {
            var operation = run.Canonical.Operation(number);
            step = operation.Step;
            if (operation.Kind == OperationKind.Evaluate)
            {
                losses.Add(operation.Step, CanonicalRun.LossOf(run.Canonical.Weights(number)));
            }
            else if (!isForgotten && CanonicalRun.GradientsOf(run.Canonical.Weights(number), operation).Moments(operation.Samples.Count, operation.Samples.Count) is { } shown)
            {
                moments.Add(operation.Step, shown);
            }
        }

        var newest = -1L;
        foreach (var (at, _) in _checkpoints)
        {
            newest = at <= step ? at : newest;
        }

        return RunMemory.Of(_journal) with { Checkpoint = newest, RecordedStep = step, Losses = losses, Moments = moments };
    }

    private void Count(Operation operation, int change)
    {
        while (_linesOf.Count <= (int)operation.Number)
        {
            _linesOf.Add(0);
        }

        _linesOf[(int)operation.Number] += change;
        Recorded = change > 0 ? Recorded : Math.Min(Recorded, operation.Number - (_linesOf[(int)operation.Number] == 0 ? 1UL : 0UL));
        while ((int)Recorded + 1 < _linesOf.Count && _linesOf[(int)Recorded + 1] > 0)
        {
            Recorded++;
        }
    }
}
