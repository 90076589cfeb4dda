namespace DistTrain.Auditing;

/// <summary>The steps that survived: of each step the last line, as one that was computed again replaces what was there.</summary>
/// <param name="Steps">By step.</param>
internal sealed record Lineage(SortedDictionary<long, StepLine> Steps)
{
    /// <summary>The last step; 0 for none.</summary>
    public long Last => Steps.Count == 0 ? 0 : Steps.Keys.Last();

    /// <summary>The lineage of a run's lines.</summary>
    public static Lineage Of(IEnumerable<StepLine> lines)
    {
        var steps = new SortedDictionary<long, StepLine>();
        foreach (var line in lines)
        {
            steps[line.Step] = line;
        }

        return new Lineage(steps);
    }
}
