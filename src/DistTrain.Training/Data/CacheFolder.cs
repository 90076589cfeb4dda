namespace DistTrain.Training.Data;

/// <summary>Where downloads are kept, after the XDG Base Directory Specification.</summary>
public static class CacheFolder
{
    /// <summary>The variable that names the folder outright.</summary>
    public const string Variable = "DISTTRAIN_CACHE";

    /// <summary>The name under which data that come from elsewhere are kept, whatever run they are for.</summary>
    public const string Data = "data";

    /// <summary>
    /// The folder of one data set: <c>$DISTTRAIN_CACHE/NAME</c>, else <c>$XDG_CACHE_HOME/disttrain/NAME</c>, else <c>~/.cache/disttrain/NAME</c>.
    /// </summary>
    /// <returns>The path, whether it exists or not; null where the user has no home.</returns>
    public static string? Find(string name)
    {
        if (Environment.GetEnvironmentVariable(Variable) is { Length: > 0 } chosen)
        {
            return Path.Combine(Path.GetFullPath(chosen), name);
        }

        var cache = Environment.GetEnvironmentVariable("XDG_CACHE_HOME");
        if (!Path.IsPathRooted(cache))
        {
            // The specification: a relative path is to be ignored.
            var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);
            cache = home.Length == 0 ? null : Path.Combine(home, ".cache");
        }

        return cache is null ? null : Path.Combine(cache, "disttrain", name);
    }
}
