using DistTrain.Core.Options;

namespace DistTrain.Training.Tasks;

/// <summary>Checks the <c>data</c> keys of a task whose data can come in several ways. The task knows <c>path</c> alone, so it is asked what it would say of a path.</summary>
internal static class MovableData
{
    /// <summary>Every mistake in the section.</summary>
    /// <param name="run">The configuration.</param>
    /// <param name="ofTask">The mistakes in the task's own keys, once the data lie at a path.</param>
    public static IReadOnlyList<OptionProblem> Check(RunOptions run, Func<RunOptions, IReadOnlyList<OptionProblem>> ofTask)
    {
        var (location, problems) = DataLocation.Read(run.Data);
        var (path, pathKey) = (DataLocation.PathOf(run.Data), $"{run.Data.Path}.{DataLocation.PathKey}");
        if (!string.IsNullOrEmpty(location.Url) && string.IsNullOrEmpty(path))
        {
            return [.. problems, .. ofTask(DataLocation.At(run, location.Url)).Select(p => p.Key == pathKey ? p with { Key = $"{run.Data.Path}.url" } : p)];
        }

        var own = ofTask(DataLocation.At(run, path));
        if (!location.Stream || !string.IsNullOrEmpty(path))
        {
            return [.. problems, .. own];
        }

        // What the coordinator gives out it needs itself; and a task that knows no path has nothing to be given.
        var useless = ofTask(DataLocation.At(run, "true")).Where(p => p.Key == pathKey).Select(p => p with { Key = $"{run.Data.Path}.stream" });
        return [.. problems, .. own, .. useless];
    }
}
