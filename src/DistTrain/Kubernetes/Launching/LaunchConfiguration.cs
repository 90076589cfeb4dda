using DistTrain.Configuration;

namespace DistTrain.Kubernetes.Launching;

/// <summary>The text that a run's ConfigMap holds. Pure.</summary>
internal static class LaunchConfiguration
{
    private const string DataPath = "data.path";

    /// <summary>The user's own text where nothing changes it, comments and all; else every key that any layer sets.</summary>
    /// <param name="read">The configuration as it was read here. Its defaults are left to the program in the image.</param>
    /// <returns>The text, usable only where there are no mistakes, and every mistake as a sentence.</returns>
    public static (string? Text, IReadOnlyList<string> Mistakes) Of(RunConfiguration read)
    {
        var mistakes = read.Problems.ToList();
        if (read.Given.TryGetValue(DataPath, out var path) && path.Length > 0 && !path.StartsWith('/'))
        {
            mistakes.Add($"{DataPath} is '{path}': in a cluster it is a path in the pods; give an absolute one, or data.url and data.sha256.");
        }

        var text = read.IsChanged || read.Text is null ? YamlWriter.Write(read.Given, "the configuration of this run, as it was launched") : read.Text;
        return (mistakes.Count == 0 ? text : null, mistakes);
    }
}
