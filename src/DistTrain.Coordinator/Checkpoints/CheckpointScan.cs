using System.Globalization;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>What a folder of checkpoints held when it was opened.</summary>
/// <param name="Store">Serves the good ones, and takes more.</param>
/// <param name="Good">Those that are whole, the newest first.</param>
/// <param name="Refused">A sentence for every other: where it lies, what is wrong, and what to do. They are left as they are, the newest first.</param>
internal sealed record CheckpointScan(CheckpointStore Store, IReadOnlyList<PublishedCheckpoint> Good, IReadOnlyList<string> Refused)
{
    /// <summary>The steps of the bad ones.</summary>
    public IReadOnlyList<long> RefusedSteps { get; init; } = [];
}

/// <summary>How the folders of checkpoints are called.</summary>
internal static class CheckpointPlace
{
    /// <summary>Ends the name of a folder that is being written or deleted: whatever has it is left over from a process that was killed.</summary>
    public const string Temporary = ".tmp";

    /// <summary>Ends the name of a checkpoint while another one of its step takes its place.</summary>
    public const string Replaced = ".old";

    private const string Prefix = "step-";

    /// <summary>The folder of a step.</summary>
    public static string Of(string folder, long step) => Path.Combine(folder, $"{Prefix}{step:00000000}");

    /// <summary>The step that a folder's name says; null where it is no checkpoint's.</summary>
    public static long? StepOf(string folder) =>
        Path.GetFileName(folder) is var name && name.StartsWith(Prefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step) && Of("", step) == name
            ? step
            : null;

    /// <summary>Ends what an earlier process was about: what it had begun to write goes, what it had moved aside comes back if nothing took its place.</summary>
    public static void CleanUp(string folder)
    {
        foreach (var left in Directory.GetDirectories(folder, $"{Prefix}*{Temporary}"))
        {
            Directory.Delete(left, recursive: true);
        }

        foreach (var old in Directory.GetDirectories(folder, $"{Prefix}*{Replaced}"))
        {
            var place = old[..^Replaced.Length];
            if (Directory.Exists(place))
            {
                Directory.Delete(old, recursive: true);
            }
            else
            {
                Directory.Move(old, place);
            }
        }
    }
}
