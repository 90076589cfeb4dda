using System.Text.RegularExpressions;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Journals;

/// <summary>Finds a run that fails the same way at every start: another start would only burn what the workers compute with.</summary>
public static partial class RepeatedFailure
{
    /// <summary>So many ends in a row in the same words, the last without a new step, are enough.</summary>
    public const int Starts = 3;

    /// <summary>Whether another start would fail as this one did.</summary>
    /// <param name="entries">The journal as it was when this coordinator opened it.</param>
    /// <param name="outcome">How the run ended now.</param>
    /// <param name="hasAdvanced">Whether this start has written down a step that none had before.</param>
    public static bool IsOne(IReadOnlyList<JournalEntry> entries, RunOutcome outcome, bool hasAdvanced)
    {
        var before = entries.OfType<JournalEntry.End>().TakeLast(Starts - 1).ToList();
        return outcome.Status == RunStatus.Failed && !hasAdvanced && before.Count == Starts - 1
            && before.TrueForAll(e => e.Status == RunStatus.Failed && Words(e.Sentence) == Words(outcome.Sentence));
    }

    /// <summary>A worker has another name at every start.</summary>
    private static string Words(string sentence) => Workers().Replace(sentence, "Worker");

    [GeneratedRegex(@"\bWorker \d+")]
    private static partial Regex Workers();
}
