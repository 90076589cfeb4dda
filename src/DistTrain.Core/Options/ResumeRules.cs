namespace DistTrain.Core.Options;

/// <summary>
/// Which keys may change when a run is resumed: those that cannot change its bits, where the data lie, when is evaluated, and how long the run is, as long as that does
/// not change the learning rate of steps already done. When is evaluated stays where evaluations are counted to decide something.
/// </summary>
public static class ResumeRules
{
    private const string Cosine = "cosine";

    // A cosine does not look at these.
    private static readonly string[] EndsEarly = ["stop.patience", "stop.minimumImprovement", "stop.validationLoss"];

    /// <summary>What a resumed run would be the other for.</summary>
    /// <param name="began">The flat table of the configuration the run has had so far.</param>
    /// <param name="now">The configuration it is to go on with.</param>
    /// <returns>One problem a key, each with the value it has to have; none where the run may go on.</returns>
    public static IEnumerable<OptionProblem> Check(IReadOnlyDictionary<string, string> began, RunOptions now)
    {
        var keys = OptionsReader.Keys(now).ToList();
        var free = keys.Where(k => k.HostOnly).Select(k => k.Key).ToList();
        var table = keys.SelectMany(k => k.Entries).ToDictionary(e => e.Key, e => e.Value);
        foreach (var key in table.Keys.Union(began.Keys).Order(StringComparer.Ordinal))
        {
            var (before, after) = (began.GetValueOrDefault(key), table.GetValueOrDefault(key));
            if (before == after || free.Any(f => key == f || IsUnder(key, f)) || DataLocation.Holds(key))
            {
                continue;
            }

            if (IsUnder(key, "evaluate"))
            {
                if (CountsEvaluations(now) is { } counts)
                {
                    yield return new OptionProblem(key, after, $"was {before} when the run began, and {counts}: with others it would decide otherwise; give it that value, or begin a new run");
                }
            }
            else if (!IsUnder(key, "stop"))
            {
                yield return new OptionProblem(key, after, $"was {before ?? "not set"} when the run began, and decides its bits: give it that value, or begin a new run");
            }
            else if (now.Schedule.Name == Cosine && !EndsEarly.Contains(key))
            {
                yield return new OptionProblem(
                    key, after, $"was {before} when the run began: a cosine schedule ends with the run, so the steps already done would have had other rates");
            }
        }
    }

    /// <summary>What counts evaluations, as a part of a sentence; null for nothing. <c>stop.validationLoss</c> looks at each by itself.</summary>
    private static string? CountsEvaluations(RunOptions options) =>
        options.Batch.Schedule.Name == BatchScheduleOptions.Plateau ? "batch.schedule.name plateau counts evaluations"
        : options.Stop.Patience > 0 ? "stop.patience counts evaluations"
        : null;

    private static bool IsUnder(string key, string section) => key.StartsWith(section + ".", StringComparison.Ordinal);
}
