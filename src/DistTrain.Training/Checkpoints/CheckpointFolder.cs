using System.Globalization;
using System.Text.Json;
using DistTrain.Core.Layouts;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Checkpoints;

/// <summary>A checkpoint on disk: a folder <c>step-NNNNNNNN</c> with a manifest and the files that the manifest has the SHA-256 of.</summary>
/// <param name="Path">The folder.</param>
/// <param name="Run">The folder of the run it belongs to.</param>
/// <param name="Step">The step after which it was taken.</param>
public sealed record CheckpointFolder(string Path, string Run, long Step)
{
    private const string Manifest = "manifest.json";
    private const string Prefix = "step-";

    /// <summary>Bytes; a manifest has some thousand.</summary>
    private const long LargestManifest = 1 << 20;

    /// <summary>Finds a run's newest checkpoint, or the one that is named.</summary>
    /// <param name="path">A run's folder, or a checkpoint's.</param>
    /// <exception cref="DataException">There is no such folder, or no checkpoint in it.</exception>
    public static CheckpointFolder Find(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new DataException($"{path} does not exist: give the folder of a run, or of one of its checkpoints.");
        }

        var folder = System.IO.Path.TrimEndingDirectorySeparator(path);
        if (System.IO.Path.GetDirectoryName(System.IO.Path.GetDirectoryName(System.IO.Path.GetFullPath(folder))) is { } run && Of(folder, run) is { } named)
        {
            return named;
        }

        var all = System.IO.Path.Combine(folder, "checkpoints");
        return (Directory.Exists(all) ? Directory.EnumerateDirectories(all) : []).Select(f => Of(f, folder)).OfType<CheckpointFolder>().MaxBy(c => c.Step)
            ?? throw new DataException($"{path} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");
    }

    /// <summary>Opens one of its files after checking it against the manifest.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="slots">The layout of each of its vectors.</param>
    /// <param name="prefixes">What stands before the names in each vector.</param>
    /// <exception cref="DataException">The file or the manifest is missing or damaged.</exception>
    internal SafetensorsFile Open(string name, IReadOnlyList<Slot> slots, IReadOnlyList<string> prefixes)
    {
        var manifest = System.IO.Path.Combine(Path, Manifest);
        try
        {
            if (new FileInfo(manifest).Length > LargestManifest)
            {
                throw new DataException($"{manifest} is damaged, it has more than {LargestManifest:N0} bytes: use another checkpoint of the run.");
            }

            using var json = JsonDocument.Parse(File.ReadAllBytes(manifest));
            var sum = json.RootElement.GetProperty("files").EnumerateArray()
                .First(f => f.GetProperty("name").GetString() == name).GetProperty("dataSha256").GetString()!;
            return SafetensorsFile.Open(System.IO.Path.Combine(Path, name), sum, slots, prefixes);
        }
        catch (Exception damaged) when (damaged is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            throw new DataException($"{manifest} is damaged, or lists no {name}: use another checkpoint of the run.", damaged);
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{Path} cannot be read ({missing.Message}): use another checkpoint of the run.", missing);
        }
    }

    private static CheckpointFolder? Of(string folder, string run) =>
        System.IO.Path.GetFileName(folder) is var name && name.StartsWith(Prefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step)
        && File.Exists(System.IO.Path.Combine(folder, Manifest))
            ? new CheckpointFolder(folder, run, step)
            : null;
}
