using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Views;

namespace DistTrain.Auditing;

/// <summary>Whether generations, terms and the end agree with each other.</summary>
internal static class HistoryChecks
{
    /// <summary>Generations never go back: a line written in an older one would be of members that are no more.</summary>
    public static Finding Generations(RunEvidence evidence)
    {
        (string File, IEnumerable<ulong> Generations)[] files =
        [
            (evidence.Steps.Path, evidence.Steps.Lines.Select(l => l.Generation)),
            (evidence.Plans.Path, evidence.Plans.Lines.Select(l => l.Generation)),
            (evidence.Reissues.Path, evidence.Reissues.Lines.Select(l => l.Generation)),
            (evidence.Events.Path, evidence.Events.Lines.Select(l => l.Generation)),
        ];
        var problems = from file in files
                       from problem in Back(file.Generations)
                       select $"{file.File}, line {problem.Line}: generation {problem.Generation} comes after generation {problem.Before}.";
        return Finding.Of("generations", problems, () => $"they never go back; the last is {files.SelectMany(f => f.Generations).DefaultIfEmpty().Max()}.");
    }

    /// <summary>The journal is a chain of its own; terms rise by one, generations rise, and nothing was computed in a generation that is not in it.</summary>
    public static Finding Journal(RunEvidence evidence)
    {
        const string check = "journal";
        const string name = "journal/journal.jsonl";
        if (evidence.Journal is not { } journal)
        {
            return Finding.Unchecked(check, "there is none.");
        }

        return Finding.Of(check, Problems(), () =>
            $"{Words.Count(journal.Entries.Count, "entry").Replace("entrys", "entries", StringComparison.Ordinal)}, each checked by the next; term {Terms().LastOrDefault()}"
            + $"{(journal.IsTorn ? "; its end is torn, as a killed process leaves it" : "")}.");

        IEnumerable<ulong> Terms() => journal.Entries.OfType<JournalEntry.Term>().Select(t => t.Number);

        IEnumerable<string> Problems()
        {
            if (journal.DamagedLine is { } damaged)
            {
                yield return $"{name} is damaged: line {damaged} does not fit the lines before it, and others follow.";
            }

            if (journal.Entries is [not JournalEntry.Run, ..])
            {
                yield return $"{name} does not begin with the run it belongs to.";
            }

            foreach (var (term, index) in Terms().Select((t, i) => (t, (ulong)i + 1)).Where(t => t.t != t.Item2).Take(1))
            {
                yield return $"{name}: term {term} stands where term {index} should.";
            }

            foreach (var back in Back(journal.Entries.OfType<JournalEntry.Generation>().Select(g => g.Number), strictly: true))
            {
                yield return $"{name}: generation {back.Generation} comes after generation {back.Before}.";
            }

            foreach (var problem in WrongMicroBatch(evidence, journal))
            {
                yield return $"{name}: {problem}";
            }

            // A run goes on when its disk takes no more, and says so.
            var isDiskFull = evidence.Events.Lines.Any(e => e.Event == "disk");
            var known = journal.Entries.OfType<JournalEntry.Generation>().Select(g => g.Number).ToHashSet();
            if (journal.DamagedLine is null && !isDiskFull && evidence.Steps.Lines.FirstOrDefault(l => !known.Contains(l.Generation)) is { } stranger)
            {
                yield return $"metrics.jsonl, step {stranger.Step}: its generation {stranger.Generation} is not in {name}.";
            }

            if (evidence.Options is { } options && journal.Entries.OfType<JournalEntry.Term>().LastOrDefault() is { } last
                && ResumeRules.Check(last.Configuration, options).FirstOrDefault() is { } other)
            {
                yield return $"{name}: term {last.Number} was of another configuration than config.yaml: {other}";
            }
        }
    }

    /// <summary>The size of micro-batches is found once, ahead of the first generation, and only where the configuration leaves it to the workers.</summary>
    private static IEnumerable<string> WrongMicroBatch(RunEvidence evidence, JournalContent journal)
    {
        var found = journal.Entries.OfType<JournalEntry.MicroBatch>().ToList();
        if (evidence.Options is not { } options || journal.DamagedLine is not null)
        {
            yield break;
        }

        if (found.Count != 0 && !options.Batch.IsAuto)
        {
            yield return $"the workers found micro-batches of {found[0].Size}, and batch.micro is {options.Batch.Micro}.";
        }
        else if (found.Count > 1)
        {
            yield return $"the workers found the size of micro-batches {found.Count} times, and it is found once.";
        }
        else if (options.Batch.IsAuto && !journal.Entries.TakeWhile(e => e is not JournalEntry.Generation).Any(e => e is JournalEntry.MicroBatch)
            && journal.Entries.Any(e => e is JournalEntry.Generation))
        {
            yield return "batch.micro is auto, and a generation began before the workers had found a size.";
        }
    }

    /// <summary>The summary tells what the other files tell.</summary>
    public static Finding Summary(RunEvidence evidence, Lineage lineage, ExpectedCourse? course)
    {
        const string check = "summary";
        if (evidence.SummaryProblem is { } unreadable)
        {
            return new Finding(check, false, unreadable);
        }

        if (evidence.Summary is not { } summary)
        {
            return new Finding(check, true, $"there is none: the run is unfinished, after step {lineage.Last:N0}.");
        }

        return Finding.Of(check, Problems(), () => $"{summary.Status} after {Words.Count(summary.Steps, "step")}, {Words.Count(summary.Samples, "sample")}, as the other files say.");

        IEnumerable<string> Problems()
        {
            if (!SummaryStatus.All.Contains(summary.Status))
            {
                yield return $"summary.json: status is '{summary.Status}', and is one of {string.Join(", ", SummaryStatus.All)}.";
            }

            // A run that went back and was stopped before it had caught up ends with an earlier step than the last.
            var last = evidence.Steps.Lines is [.., var end] ? end : null;
            if (summary.Steps != (last?.Step ?? 0))
            {
                yield return $"summary.json: steps is {summary.Steps}, and metrics.jsonl ends with step {last?.Step ?? 0}.";
            }
            else if (summary.Samples != (last?.Samples ?? 0))
            {
                yield return $"summary.json: samples is {summary.Samples}, and {last?.Samples ?? 0} in metrics.jsonl.";
            }
            else if (summary.WeightsHash != last?.WeightsHash)
            {
                yield return $"summary.json: weightsHash is {summary.WeightsHash}, and {last?.WeightsHash} in metrics.jsonl.";
            }

            if (course is not null && summary.TrainingSamples is { } training && training != course.Sizes.Training)
            {
                yield return $"summary.json: trainingSamples is {training}, and {course.Sizes.Training} in {course.Sizes.Source}.";
            }

            if (summary.Status == SummaryStatus.Completed && course is not null && summary.Steps != course.Course.TotalSteps)
            {
                yield return $"summary.json: the run is completed after step {summary.Steps}, and has {Words.Count(course.Course.TotalSteps, "step")}.";
            }

            var newest = evidence.Checkpoints is [.., var latest] ? latest : null;
            var sum = newest?.Manifest?.Files.FirstOrDefault(f => f.Name == "model.safetensors")?.DataSha256;
            if (summary.Status == SummaryStatus.Completed && summary.WeightsSha256 is null)
            {
                yield return "summary.json: weightsSha256 is missing, and the run is completed.";
            }
            else if (summary.WeightsSha256 is not null && (newest?.Step != summary.Steps || sum != summary.WeightsSha256))
            {
                yield return $"summary.json: weightsSha256 is {summary.WeightsSha256}, and {(newest is null ? "there is no checkpoint" : $"{newest.Name} has {sum ?? "none"}")}.";
            }
        }
    }

    private static IEnumerable<(int Line, ulong Generation, ulong Before)> Back(IEnumerable<ulong> generations, bool strictly = false)
    {
        var (before, line) = (0UL, 0);
        foreach (var generation in generations)
        {
            line++;
            if (generation < before || (strictly && generation == before))
            {
                yield return (line, generation, before);
            }

            before = generation;
        }
    }
}

/// <summary>How a summary says a run ended.</summary>
internal static class SummaryStatus
{
    public const string Completed = "completed";

    /// <summary>Every way.</summary>
    public static IReadOnlyList<string> All { get; } = [Completed, "stopped", "failed"];
}
