using DistTrain.Core.Journals;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>
/// What becomes of micro-batches that do not fit the memory of a worker: all workers halve them, and the global batch stays. That ends the generation, and takes effect at the first
/// operation that nobody has applied, as the members of the next one know.
/// </content>
public sealed partial class RunMachine
{
    private readonly List<JournalEntry.Geometry> _halvings = [];

    // In which generation a worker, by host and number, was last given an operation; those that are not named, in one of an earlier coordinator.
    private readonly Dictionary<(string Host, int Number), ulong> _given = [];
    private ulong _givenBefore;

    // Who ran out of memory last, and in which operation; and who was lost because it did so again when the others did not.
    private ((string Host, int Number) Key, ulong Operation) _lastShort;
    private readonly HashSet<(string Host, int Number)> _tooSmall = [];

    // How often in a row an operation that has its line did not fit when it was computed again.
    private int _repeatedShortages;

    // Why micro-batches are to be halved when the members are linked again, and how many samples of one did not fit, 0 where nobody can tell; null where they are not.
    private (string Why, int Samples)? _shortage;

    private void TakeOutOfMemory(Member member, ulong number, string sentence)
    {
        if (_open.All.FirstOrDefault(o => o.Number == number) is not { } operation || member.Applied >= number)
        {
            Lose(member, $"it ran out of memory in operation {number}, which it was not given");
        }
        else if (number <= _written)
        {
            // It is computed again after a return to a checkpoint, and has to have the bits that were written down.
            TakeShortageOfRepeated(member, operation, sentence.TrimEnd('.'));
        }
        else if (MostSamples(operation) == 1)
        {
            Fail(member, $"a micro-batch of one sample does not fit its memory: {sentence}");
        }
        else if (IsShortAlone(member, number))
        {
            Lose(member, $"micro-batches of {MostSamples(operation)} samples do not fit its memory, and fit that of the others: {sentence.TrimEnd('.')}", mayReturn: _tooSmall.Add(KeyOf(member)));
        }
        else
        {
            _lastShort = (KeyOf(member), number);
            NoteShortage($"{member.Name} on {member.Hello.Host} ran out of memory: {sentence.TrimEnd('.')}.", MostSamples(operation));
            Form([.. _ranks]);
        }
    }

    /// <summary>Whether one worker has much less memory than the others: halves did not help it, and the others get on. They go on without it, or micro-batches end at one sample.</summary>
    private bool IsShortAlone(Member member, ulong operation) =>
        (_lastShort == (KeyOf(member), operation) || _tooSmall.Contains(KeyOf(member)))
        && Trainers.Any(m => m != member) && Trainers.All(m => m == member || _progress.HasBlocksOf(m.Id, operation));

    private void TakeShortageOfRepeated(Member member, Operation operation, string reason)
    {
        var samples = MostSamples(operation);
        if (++_repeatedShortages < MaxRepeatedShortages || _workers.Count > 1)
        {
            Lose(member, $"step {operation.Step}, which is computed again with micro-batches of {samples} samples as before, does not fit its memory: {reason}", mayReturn: true);
            return;
        }

        var anew = samples > 1 ? $", or begin a new run with batch.micro={samples / 2}" : "";
        Finish(new RunOutcome(false,
            $"Step {operation.Step} was written down with micro-batches of {samples} samples, which do not fit the memory of {member.Name} on {member.Hello.Host} now: {reason}. "
            + $"Resume where they do until step {_course!.Before(_written + 1).Steps}{anew}."));
    }

    /// <summary>
    /// The system has killed a worker's process for want of memory, says whoever started it again. It may have killed several at once: micro-batches are halved again only where
    /// the process had been given an operation since they were last.
    /// </summary>
    private void TakeKill(Member member)
    {
        if (_course is null || _options.Batch.IsAuto || (_halvings.Count > 0 && _given.GetValueOrDefault(KeyOf(member), _givenBefore) < _halvings[^1].Since))
        {
            return;
        }

        NoteShortage($"The process of {member.Name} on {member.Hello.Host} before this one was killed, it seems by the system for want of memory.", 0);
        if (_ranks.Count > 0)
        {
            Form([.. _ranks]);
        }
    }

    /// <summary>Of several shortages in one generation the one with the fewest samples counts.</summary>
    private void NoteShortage(string why, int samples)
    {
        if (_shortage is not { Samples: > 0 } noted || (samples > 0 && samples < noted.Samples))
        {
            _shortage = (why, samples);
        }
    }

    private void NoteGiven()
    {
        foreach (var member in Trainers)
        {
            _given[KeyOf(member)] = Generation;
        }
    }

    private static (string Host, int Number) KeyOf(Member member) => (member.Hello.Host, member.Hello.Number);

    /// <summary>
    /// Halves the micro-batches that did not fit, from the first operation on that has such ones, and that nobody has applied or written down. A last, short batch or a small
    /// evaluation may come before it, and stays as it is.
    /// </summary>
    /// <param name="applied">The last operation that a member has applied.</param>
    private void HalveBehind(ulong applied)
    {
        if (_shortage is not var (why, failed))
        {
            return;
        }

        _shortage = null;
        var next = Coming(Math.Max(applied, _written) + 1).FirstOrDefault();
        // Who was killed does not say in what: mostly that is a whole step.
        var samples = failed > 0 ? failed : next is null ? 0 : (int)Math.Min(next.Geometry.Micro, Math.Min(next.Geometry.Global, _course!.TrainingSamples));
        var operation = samples < 2 || next is null ? null : Coming(next.Number).FirstOrDefault(o => MostSamples(o) > samples / 2);
        if (operation is null)
        {
            _effects.Add(new RunEffect.Announce("out-of-memory", $"{why} There is nothing to halve: no operation that comes has micro-batches of more than {Math.Max(1, samples / 2)}."));
            return;
        }

        CutUpAnew(operation, new GeometryChange(operation.Kind, operation.Step, samples / 2));
        _effects.Add(new RunEffect.Announce("out-of-memory",
            $"{why} From {(operation.Kind == OperationKind.Train ? "step" : "the evaluation after step")} {operation.Step} on a micro-batch holds at most {samples / 2} samples, on every worker; "
            + $"the global batch stays. {_course!.Geometries.Recipe}"));
        SendPlan(PlannerOf(next).Begin(Times), next!.Number);
    }

    private void CutUpAnew(Operation operation, GeometryChange change)
    {
        // A worker that is lost may have written a state that nobody else came to, or have reported it. There is none that counts.
        var changed = operation.Kind == OperationKind.Train ? operation.Step : operation.Step + 1;
        (_writtenStep, _writtenHash) = _writtenStep < changed ? (_writtenStep, _writtenHash) : (_publishedStep, null);
        _effects.Add(new RunEffect.DiscardFrom(changed));
        _halvings.Add(new JournalEntry.Geometry(change, Generation, operation.Number));
        _effects.Add(new RunEffect.Write(_halvings[^1]));
        (_course, _planned) = (_course!.With(change), default);
        _open.ReplaceFrom(operation.Number, o => o with { Geometry = _course.GeometryOf(o) });
        foreach (var old in _hashes.Keys.Where(number => number >= operation.Number).ToList())
        {
            _hashes.Remove(old);
        }
    }

    /// <summary>The operations from one on that were handed out, and those that come after them.</summary>
    private IEnumerable<Operation> Coming(ulong first)
    {
        foreach (var operation in _open.All.Where(o => o.Number >= first))
        {
            yield return operation;
        }

        for (var at = _position; _course!.Next(at) is var (operation, next); at = next)
        {
            if (operation.Number >= first)
            {
                yield return operation;
            }
        }
    }

    /// <summary>Whether a worker was cut off when an operation that it has applied was cut up anew: its state is none of the run's.</summary>
    /// <param name="applied">The last operation that its state contains.</param>
    /// <param name="generation">The last generation it was a member of.</param>
    private bool IsCutUpAnew(ulong applied, ulong generation) => _halvings.Any(h => h.Operation <= applied && generation < h.Since);

    private static int MostSamples(Operation operation) => (int)Math.Min(operation.Geometry.Micro, operation.Samples.Count);
}
