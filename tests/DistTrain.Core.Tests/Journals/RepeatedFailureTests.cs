using DistTrain.Core.Journals;

namespace DistTrain.Core.Tests.Journals;

/// <summary>A run that fails the same way at every start is not worth another one.</summary>
public sealed class RepeatedFailureTests
{
    private const string Diverged = "The gradients of 20 steps in a row were not finite, the last at step 50.";

    [Theory]
    [InlineData("f f", Diverged, false, true)]
    [InlineData("s f f", Diverged, false, true)]
    [InlineData("f", Diverged, false, false)]
    [InlineData("f s", Diverged, false, false)]
    [InlineData("f s f", Diverged, false, false)]
    [InlineData("f f", Diverged, true, false)]
    [InlineData("f f", "The gradients of 20 steps in a row were not finite, the last at step 51.", false, false)]
    [InlineData("w w", "Worker 2000 cannot go on: it has no data.", false, true)]
    public void Three_ends_in_the_same_words_without_a_new_step_are_enough(string before, string sentence, bool hasAdvanced, bool expected)
    {
        List<JournalEntry> entries = [new JournalEntry.Run("1", "0.1.0")];
        foreach (var (end, term) in before.Split(' ').Select((end, index) => (end, index + 1)))
        {
            entries.Add(new JournalEntry.Term((ulong)term, new Dictionary<string, string>()));
            entries.Add(end switch
            {
                "f" => new JournalEntry.End(RunStatus.Failed, Diverged),
                "w" => new JournalEntry.End(RunStatus.Failed, $"Worker {term}000 cannot go on: it has no data."),
                _ => new JournalEntry.End(RunStatus.Stopped, "Stopped."),
            });
        }

        Assert.Equal(expected, RepeatedFailure.IsOne(entries, new RunOutcome(false, sentence), hasAdvanced));
        Assert.False(RepeatedFailure.IsOne(entries, new RunOutcome(true, sentence), hasAdvanced));
    }
}
