using DistTrain.Core.Journals;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>
/// What becomes of micro-batches that do not fit the memory of a worker: all workers halve them, and the global batch stays. That ends the generation, and takes effect at the first
/// operation that nobody has applied, as the members of the next one know.
/// </content>
public sealed partial class RunMachine
{
    // Why micro-batches are to be halved when the members are linked again; null where they are not.
    private string? _whyHalve;

    private readonly List<JournalEntry.Geometry> _halvings = [];

    private void TakeOutOfMemory(Member member, ulong number, string sentence)
    {
        if (_open.All.FirstOrDefault(o => o.Number == number) is not { } operation || member.Applied >= number)
        {
            Lose(member, $"it ran out of memory in operation {number}, which it was not given");
        }
        else if (number <= _written)
        {
            // It is computed again after a return to a checkpoint, and has to have the bits that were written down.
            Lose(member, $"step {operation.Step}, which is computed again with micro-batches of {MostSamples(operation)} samples as before, does not fit its memory: {sentence.TrimEnd('.')}", mayReturn: true);
        }
        else if (MostSamples(operation) == 1)
        {
            Fail(member, $"a micro-batch of one sample does not fit its memory: {sentence}");
        }
        else
        {
            _whyHalve = $"{member.Name} on {member.Hello.Host} ran out of memory: {sentence.TrimEnd('.')}.";
            Form([.. _ranks]);
        }
    }

    /// <summary>
    /// The system has killed a worker's process for want of memory, says whoever started it again. It may have killed several at once: micro-batches are halved again only when an
    /// operation has been completed with smaller ones.
    /// </summary>
    private void TakeKill(Member member)
    {
        if (_course is null || _options.Batch.IsAuto || _halvings.Any(h => h.Operation > _written))
        {
            return;
        }

        _whyHalve = $"The process of {member.Name} on {member.Hello.Host} before this one was killed by the system for want of memory.";
        if (_ranks.Count > 0)
        {
            Form([.. _ranks]);
        }
    }

    /// <summary>Halves the micro-batches of the first operation that nobody has applied or written down, if there is one, and it has halves.</summary>
    /// <param name="applied">The last operation that a member has applied.</param>
    private void HalveBehind(ulong applied)
    {
        if (_whyHalve is not { } why)
        {
            return;
        }

        _whyHalve = null;
        var first = Math.Max(applied, _written) + 1;
        var operation = _open.All.FirstOrDefault(o => o.Number == first);
        for (var at = _position; operation is null && _course!.Next(at) is var (coming, next); at = next)
        {
            operation = coming.Number == first ? coming : null;
        }

        if (operation is null || MostSamples(operation) == 1)
        {
            return;
        }

        var change = new GeometryChange(operation.Kind, operation.Step, MostSamples(operation) / 2);
        // A worker that is lost may have written a state that nobody else came to. There is none that counts.
        var changed = operation.Kind == OperationKind.Train ? operation.Step : operation.Step + 1;
        (_writtenStep, _writtenHash) = _writtenStep < changed ? (_writtenStep, _writtenHash) : (_publishedStep, null);
        _effects.Add(new RunEffect.DiscardFrom(changed));
        _halvings.Add(new JournalEntry.Geometry(change, Generation, first));
        _effects.Add(new RunEffect.Write(_halvings[^1]));
        (_course, _planned) = (_course!.With(change), default);
        _open.ReplaceFrom(first, o => o with { Geometry = _course.GeometryOf(o) });
        foreach (var old in _hashes.Keys.Where(number => number >= first).ToList())
        {
            _hashes.Remove(old);
        }

        _effects.Add(new RunEffect.Announce("out-of-memory",
            $"{why} From step {operation.Step} on a micro-batch holds at most {change.Micro} samples, on every worker; the global batch stays. "
            + $"A run with batch.microFrom.{operation.Step}={change.Micro} has the same bits."));
        SendPlan(PlannerOf(operation).Begin(Times), first);
    }

    /// <summary>Whether a worker was cut off when an operation that it has applied was cut up anew: its state is none of the run's.</summary>
    /// <param name="applied">The last operation that its state contains.</param>
    /// <param name="generation">The last generation it was a member of.</param>
    private bool IsCutUpAnew(ulong applied, ulong generation) => _halvings.Any(h => h.Operation <= applied && generation < h.Since);

    private static int MostSamples(Operation operation) => (int)Math.Min(operation.Geometry.Micro, operation.Samples.Count);
}
