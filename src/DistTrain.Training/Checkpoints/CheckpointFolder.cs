using System.Globalization;
using System.Text.Json;
using DistTrain.Core.Layouts;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Checkpoints;

/// <summary>What a checkpoint's manifest says of its state.</summary>
/// <param name="WeightsHash">Hash of the weights.</param>
/// <param name="Optimizer">The update rule's name.</param>
/// <param name="Vectors">The names of the vectors, the weights' first.</param>
/// <param name="Scalars">The optimizer's numbers.</param>
/// <param name="Configuration">What its run was configured by when it was taken, as a flat table.</param>
public sealed record CheckpointFacts(
    string WeightsHash, string Optimizer, IReadOnlyList<string> Vectors, IReadOnlyDictionary<string, double> Scalars, IReadOnlyDictionary<string, string> Configuration);

/// <summary>A checkpoint on disk: a folder <c>step-NNNNNNNN</c> with a manifest and the files that the manifest has the SHA-256 of.</summary>
/// <param name="Path">The folder.</param>
/// <param name="Run">The folder of the run it belongs to.</param>
/// <param name="Step">The step after which it was taken.</param>
public sealed record CheckpointFolder(string Path, string Run, long Step)
{
    private const string Manifest = "manifest.json";
    private const string Prefix = "step-";

    /// <summary>Bytes; the names and shapes of the largest models take some million.</summary>
    private const long LargestManifest = 1 << 26;

    /// <summary>The newest format of a manifest that is known here. Format 1 is read as well: what it lacks is not needed to ask a model.</summary>
    private const int Format = 2;

    /// <summary>Finds a run's newest checkpoint, or the one that is named.</summary>
    /// <param name="path">A run's folder, or a checkpoint's.</param>
    /// <exception cref="DataException">There is no such folder, no checkpoint in it, or the newest is incomplete.</exception>
    public static CheckpointFolder Find(string path)
    {
        if (!Directory.Exists(path))
        {
            throw new DataException(File.Exists(path)
                ? $"{path} is a file: give the folder of a run, or of one of its checkpoints."
                : $"{path} does not exist: give the folder of a run, or of one of its checkpoints.");
        }

        var folder = System.IO.Path.TrimEndingDirectorySeparator(path);
        var whole = System.IO.Path.GetFullPath(folder);
        if (StepOf(whole) is { } step)
        {
            var run = System.IO.Path.GetDirectoryName(System.IO.Path.GetDirectoryName(whole)) ?? whole;
            return IsComplete(whole) ? new CheckpointFolder(folder, run, step) : throw new DataException($"{Incomplete(folder)}: use another checkpoint of the run.");
        }

        if (IsComplete(whole))
        {
            throw new DataException($"{path} is a checkpoint under another name, apart from its run: give {Prefix}NNNNNNNN in the folder of the run, which says how its model is built.");
        }

        return Newest(folder) ?? throw new DataException($"{path} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");
    }

    /// <summary>Reads a checkpoint; a run that is going on may delete it meanwhile, then the one that is the newest by now.</summary>
    /// <param name="path">A run's folder, or a checkpoint's.</param>
    /// <param name="read">Reads it.</param>
    /// <exception cref="DataException">As in <see cref="Find"/>, or thrown by <paramref name="read"/> for a checkpoint that is still there.</exception>
    public static T Read<T>(string path, Func<CheckpointFolder, T> read)
    {
        const int most = 5;
        var checkpoint = Find(path);
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return read(checkpoint);
            }
            catch (DataException) when (attempt < most && Find(path) is var newer && newer != checkpoint)
            {
                checkpoint = newer;
            }
        }
    }

    /// <summary>What its manifest says of its state.</summary>
    /// <exception cref="DataException">The manifest is missing or damaged.</exception>
    public CheckpointFacts Facts() => Ask(root => new CheckpointFacts(
        root.GetProperty("weightsHash").GetString()!,
        root.GetProperty("configuration").GetProperty("optimizer.name").GetString()!,
        [.. root.GetProperty("vectors").EnumerateArray().Select(v => v.GetString()!)],
        root.GetProperty("scalars").EnumerateObject().ToDictionary(s => s.Name, s => s.Value.GetDouble()),
        root.GetProperty("configuration").EnumerateObject().ToDictionary(s => s.Name, s => s.Value.GetString()!)));

    /// <summary>Opens one of its files after checking it against the manifest.</summary>
    /// <param name="name">The file's name.</param>
    /// <param name="slots">The layout of each of its vectors.</param>
    /// <param name="prefixes">What stands before the names in each vector.</param>
    /// <exception cref="DataException">The file or the manifest is missing or damaged.</exception>
    internal SafetensorsFile Open(string name, IReadOnlyList<Slot> slots, IReadOnlyList<string> prefixes)
    {
        var sum = Ask(root => root.GetProperty("files").EnumerateArray().First(f => f.GetProperty("name").GetString() == name).GetProperty("dataSha256").GetString()!, name);
        try
        {
            return SafetensorsFile.Open(System.IO.Path.Combine(Path, name), sum, slots, prefixes);
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(missing);
        }
    }

    /// <summary>Asks the manifest, which says of itself what it is.</summary>
    /// <param name="ask">Reads it.</param>
    /// <param name="what">The file that is asked for; null for none.</param>
    private T Ask<T>(Func<JsonElement, T> ask, string? what = null)
    {
        var manifest = System.IO.Path.Combine(Path, Manifest);
        try
        {
            if (new FileInfo(manifest).Length > LargestManifest)
            {
                throw new DataException($"{manifest} is damaged, it has more than {LargestManifest:N0} bytes: use another checkpoint of the run.");
            }

            using var json = JsonDocument.Parse(File.ReadAllBytes(manifest));
            if (json.RootElement.GetProperty("format").GetInt32() is var format && format is < 1 or > Format)
            {
                throw new DataException($"{manifest} is of format {format}, this program reads up to {Format}: use the program that wrote it.");
            }

            if (json.RootElement.GetProperty("step").GetInt64() is var step && step != Step)
            {
                throw new DataException($"{manifest} is of step {step}, its folder of step {Step}: use another checkpoint of the run.");
            }

            return ask(json.RootElement);
        }
        catch (Exception damaged) when (damaged is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw new DataException($"{manifest} is damaged{(what is null ? "" : $", or lists no {what}")}: use another checkpoint of the run.", damaged);
        }
        catch (Exception missing) when (missing is IOException or UnauthorizedAccessException)
        {
            throw Unreadable(missing);
        }
    }

    private DataException Unreadable(Exception missing) => new($"{Path} cannot be read ({missing.Message}): use another checkpoint of the run.", missing);

    /// <summary>The newest of a run's checkpoints; null where there is none. An older one is not taken in silence for one that is broken.</summary>
    private static CheckpointFolder? Newest(string run)
    {
        var all = System.IO.Path.Combine(run, "checkpoints");
        var found = (Directory.Exists(all) ? Directory.EnumerateDirectories(all) : [])
            .Where(f => StepOf(f) is not null)
            .Select(f => new CheckpointFolder(f, run, StepOf(f)!.Value))
            .OrderByDescending(c => c.Step)
            .ToList();
        if (found is not [var newest, ..] || IsComplete(newest.Path))
        {
            return found.FirstOrDefault();
        }

        throw new DataException(found.Find(c => IsComplete(c.Path)) is { } good
            ? $"{Incomplete(newest.Path)}. The newest that is complete is {good.Path}: give that folder to ask it."
            : $"{Incomplete(newest.Path)}, and there is no other: give the folder of another run.");
    }

    private static string Incomplete(string folder) => $"{folder} is incomplete, it has no {Manifest}";

    private static bool IsComplete(string folder) => File.Exists(System.IO.Path.Combine(folder, Manifest));

    /// <summary>The step that a folder's name says; null where it is no checkpoint's, such as one that was being written.</summary>
    private static long? StepOf(string folder) =>
        System.IO.Path.GetFileName(folder) is var name && name.StartsWith(Prefix, StringComparison.Ordinal)
        && long.TryParse(name.AsSpan(Prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out var step)
            ? step
            : null;
}
