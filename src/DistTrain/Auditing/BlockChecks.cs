using DistTrain.Core.Runs;
using DistTrain.Views;

namespace DistTrain.Auditing;

/// <summary>Whether every operation was handed out so that each block is computed exactly once.</summary>
internal static class BlockChecks
{
    /// <summary>Every plan is a partition of the blocks.</summary>
    public static Finding Plans(RunEvidence evidence)
    {
        var problems = from plan in evidence.Plans.Lines
                       from assignment in plan.Assignments
                       let problem = NotOnce(assignment.Blocks, assignment.Ranges)
                       where problem is not null
                       select $"plans.jsonl, plan {plan.Number}, of {Words.Count(assignment.Blocks, "block")}: {problem}.";
        return Finding.Of("plans", problems, () => $"{Words.Count(evidence.Plans.Lines.Count, "plan")}, each an exact partition of the blocks.");
    }

    /// <summary>The last hand-out of every step and evaluation of the lineage covers every block exactly once, and the workers computed what it says.</summary>
    public static Finding Blocks(RunEvidence evidence, ExpectedCourse course)
    {
        var groups = Groups(evidence.Workers.Lines);
        var plans = evidence.Plans.Lines.ToLookup(p => p.Number);
        var reissues = evidence.Reissues.Lines.ToLookup(r => (r.Kind, r.Step, r.Generation));
        var again = 0;
        Operation[] operations = [.. course.Steps.Values.Concat(course.Evaluations.Values.Where(e => groups.ContainsKey(NameOf(e))))];
        return Finding.Of("blocks", operations.OrderBy(o => o.Step).Select(Problem).OfType<string>(), () =>
            $"the last hand-out of {Words.Count(operations.Length, "operation")} covers every block exactly once"
            + $"{(again == 0 ? "" : $"; {again:N0} of them {(again == 1 ? "was" : "were")} handed out again around what was left")}.");

        string? Problem(Operation operation)
        {
            var name = NameOf(operation);
            var place = operation.Kind == OperationKind.Train ? $"step {name.Step}" : $"the evaluation after step {name.Step}";
            if (!groups.TryGetValue(name, out var reports))
            {
                return $"workers.jsonl has no line of {place}.";
            }

            var (generation, blocks) = (reports.Max(r => r.Generation), operation.Batches.Blocks);
            if (reissues[(name.Kind, name.Step, generation)].LastOrDefault() is { } reissue)
            {
                again++;
                var problem = reissue.Blocks != blocks ? $"it has {reissue.Blocks} blocks, and {blocks} by the configuration" : NotOnce(blocks, reissue.Shares.SelectMany(s => s.Held.Concat(s.Computed)));
                return problem is null
                    ? Uncomputed("reissues.jsonl", place, reports, [.. reissue.Shares.Select(s => s.Computed.Sum(r => r[1] - r[0]))])
                    : $"reissues.jsonl, {place}, generation {generation}: {problem}.";
            }

            var plan = reports[0].Plan is { } number
                ? plans[number].LastOrDefault(p => p.Generation <= generation)
                : evidence.Plans.Lines.LastOrDefault(p => p.Generation == generation && p.Operation <= reports[0].Operation);
            if (plan?.Assignments.FirstOrDefault(a => a.Blocks == blocks) is not { } assignment)
            {
                return $"plans.jsonl has no plan of {Words.Count(blocks, "block")} by which {place} was handed out in generation {generation}.";
            }

            return NotOnce(blocks, assignment.Ranges) is { } overlap
                ? $"plans.jsonl, plan {plan.Number}, for {place}: {overlap}."
                : Uncomputed("plans.jsonl", place, reports, [.. assignment.Ranges.Select(r => r[1] - r[0])]);
        }
    }

    /// <summary>How the lines name an operation. Its number is not the same in every term of a run that has changed when it is evaluated.</summary>
    private static (string Kind, long Step) NameOf(Operation operation) => (operation.Kind == OperationKind.Train ? "train" : "evaluate", operation.Step);

    /// <summary>
    /// The last reports of every operation. Reports by one generation's full membership stand in its order of ranks; others may come from survivors of several generations.
    /// </summary>
    private static Dictionary<(string Kind, long Step), List<WorkerLine>> Groups(IReadOnlyList<WorkerLine> lines)
    {
        var groups = new Dictionary<(string Kind, long Step), List<WorkerLine>>();
        var before = ("", 0L);
        foreach (var line in lines)
        {
            var name = (line.Kind, line.Step);
            if (name != before || line.Rank == 0 || !groups.TryGetValue(name, out var group))
            {
                groups[name] = group = [];
            }

            group.Add(line);
            before = name;
        }

        return groups;
    }

    private static string? Uncomputed(string file, string place, List<WorkerLine> reports, IReadOnlyList<int> computed)
    {
        if (reports.Count != computed.Count || reports.Any(r => r.Generation != reports[0].Generation))
        {
            return null;
        }

        // A coordinator that was started again writes down what workers tell it anew, in the order in which it knows them, and knows no plan of it.
        if (reports.TrueForAll(r => r.Plan is null) && reports.Select(r => r.Blocks).Order().SequenceEqual(computed.Order()))
        {
            return null;
        }

        return reports.Find(r => r.Rank < 0 || r.Rank >= computed.Count || r.Blocks != computed[r.Rank]) is { } other
            ? $"workers.jsonl, {place}: rank {other.Rank} computed {Words.Count(other.Blocks, "block")}, and {file} gives it {(other.Rank >= 0 && other.Rank < computed.Count ? $"{computed[other.Rank]}" : "none")}."
            : null;
    }

    /// <summary>Why ranges are no partition of the blocks; null where they are one.</summary>
    private static string? NotOnce(int blocks, IEnumerable<int[]> ranges)
    {
        var next = 0;
        foreach (var range in ranges.OrderBy(r => r.Length > 0 ? r[0] : -1).ThenBy(r => r.Length > 1 ? r[1] : -1))
        {
            if (range is not [var first, var end] || first > end)
            {
                return "a range is not a first block and an end";
            }

            if (first == end)
            {
                continue;
            }

            if (first != next)
            {
                return first < next ? $"block {first} is given out twice" : $"block {next} is given to nobody";
            }

            next = end;
        }

        return next == blocks ? null : next < blocks ? $"block {next} is given to nobody" : $"block {blocks} does not exist";
    }
}
