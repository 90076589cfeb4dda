using System.ComponentModel;

namespace DistTrain.Core.Options;

/// <summary>
/// Where a run's data lie and how workers get them. Every task whose <c>data</c> has a key <c>path</c> can be given its data in each of these ways; the keys are the
/// same for all tasks, and none of them can change the bits of a run: what the data hold has a fingerprint of its own.
/// </summary>
public sealed record DataLocation
{
    /// <summary>The key of a path, which is a task's own.</summary>
    public const string PathKey = "path";

    [Description("an http or https address of the data, a file or an archive (.tar.gz, .tgz, .zip), in place of data.path")]
    public string? Url { get; init; }

    [Description("SHA-256 of what lies at data.url, 64 hexadecimal digits; nothing else is used")]
    public string? Sha256 { get; init; }

    [Description("workers get the data from the coordinator, which alone needs data.path or data.url")]
    public bool Stream { get; init; }

    [Description("most bytes of data that a worker's host keeps in its cache ($DISTTRAIN_CACHE, $XDG_CACHE_HOME/disttrain or ~/.cache/disttrain)"), ByteSize]
    public string Cache { get; init; } = "10GiB";

    /// <summary>The names of these keys below <c>data</c>; no task can have one of its own.</summary>
    public static IReadOnlyList<string> Names { get; } = [.. OptionsReader.Keys(typeof(DataLocation)).Select(k => k.Key)];

    /// <summary>Most bytes that a host keeps.</summary>
    public long CacheBytes => ByteSize.TryParse(Cache, out var bytes) ? bytes : 0;

    /// <summary>Whether a key of the whole configuration says where the data lie, and so may differ between two runs with the same bits.</summary>
    /// <param name="key">The key with dots.</param>
    public static bool Holds(string key) =>
        key.StartsWith("data.", StringComparison.OrdinalIgnoreCase) && key[5..] is var name
        && (name.Equals(PathKey, StringComparison.OrdinalIgnoreCase) || Names.Contains(name, StringComparer.OrdinalIgnoreCase));

    /// <summary>Reads these keys of a section; the others are left alone.</summary>
    /// <returns>The record, and every mistake.</returns>
    public static (DataLocation Location, IReadOnlyList<OptionProblem> Problems) Read(OptionSection data)
    {
        var given = data.Values.Where(v => Names.Contains(v.Key, StringComparer.OrdinalIgnoreCase)).ToDictionary(v => v.Key, v => v.Value, StringComparer.OrdinalIgnoreCase);
        var (location, problems) = OptionsReader.Read<DataLocation>(given, data.Path);
        var more = location.Contradictions().Select(p => p with { Key = $"{data.Path}.{p.Key}" }).ToList();
        if (location.Url is { Length: > 0 } && PathOf(data) is { Length: > 0 } path)
        {
            more.Add(new OptionProblem($"{data.Path}.{PathKey}", path, $"{data.Path}.url says where the data lie, too; keep one of the two"));
        }

        if (problems.Count == 0 && location is { Url: null or "", Stream: false } && given.TryGetValue("cache", out var cache))
        {
            more.Add(new OptionProblem($"{data.Path}.cache", cache, "has no effect without data.url or data.stream; set one of them or leave it away"));
        }

        return (location, [.. problems, .. more]);
    }

    /// <summary>Where the section says the data lie on a volume; null where it does not.</summary>
    public static string? PathOf(OptionSection data) =>
        data.Values.FirstOrDefault(v => v.Key.Equals(PathKey, StringComparison.OrdinalIgnoreCase)).Value;

    /// <summary>The configuration of a host on which the data lie at a path, wherever they came from.</summary>
    /// <param name="run">The run's configuration.</param>
    /// <param name="path">The path; null where the task finds them by itself.</param>
    public static RunOptions At(RunOptions run, string? path)
    {
        var values = run.Data.Values
            .Where(v => !Holds($"data.{v.Key}"))
            .ToDictionary(v => v.Key, v => v.Value, StringComparer.OrdinalIgnoreCase);
        if (path is not null)
        {
            values[PathKey] = path;
        }

        return run with { Data = new OptionSection(run.Data.Path, values) };
    }

    /// <summary>What is wrong with address and hash, and does not go together; told also where another key is wrong by itself.</summary>
    private IEnumerable<OptionProblem> Contradictions()
    {
        var (hasUrl, hasHash) = (!string.IsNullOrEmpty(Url), !string.IsNullOrEmpty(Sha256));
        if (hasUrl && Remedy(Url!) is { } remedy)
        {
            yield return new OptionProblem("url", Url, remedy);
        }

        if (hasHash && !(Sha256!.Length == 64 && Sha256.All(char.IsAsciiHexDigit)))
        {
            yield return new OptionProblem("sha256", Sha256, "must be the 64 hexadecimal digits that sha256sum prints for what lies at data.url");
        }

        if (hasUrl && !hasHash)
        {
            yield return OptionProblem.Missing("sha256", "set it to what sha256sum prints for what lies at data.url, so that every host trains on the same data");
        }
        else if (hasHash && !hasUrl)
        {
            yield return new OptionProblem("sha256", Sha256, "has no effect without data.url; set that to an http or https address, or leave both away");
        }
    }

    private static string? Remedy(string url)
    {
        if (!Uri.TryCreate(url, UriKind.Absolute, out var uri) || (uri.Scheme != Uri.UriSchemeHttp && uri.Scheme != Uri.UriSchemeHttps))
        {
            return "must be an address that begins with http:// or https://; for a file or folder set data.path";
        }

        return uri.UserInfo.Length > 0 ? "must not carry a name or password, which would stand in the run's folder; give an address that needs none" : null;
    }
}
