namespace DistTrain.Launching;

/// <summary>Finds and takes the folder of a new run. A folder that holds anything is never written to.</summary>
internal static class RunFolder
{
    private const int MostRuns = 10_000;

    /// <summary>Takes a folder by putting the run's configuration into it.</summary>
    /// <param name="explicitFolder">The folder a user asked for; null for <c>runs/NAME</c>, or the next free <c>runs/NAME-2</c>, ...</param>
    /// <param name="name">The run's name.</param>
    /// <param name="configuration">The text of <c>config.yaml</c>.</param>
    /// <param name="parent">The folder of all runs.</param>
    /// <returns>The folder, or why there is none, and whether that may pass: the disk, and nothing that was said.</returns>
    public static (string? Folder, string? Problem, bool IsPassing) Claim(string? explicitFolder, string name, string configuration, string parent = "runs")
    {
        try
        {
            if (explicitFolder is not null)
            {
                if (string.IsNullOrWhiteSpace(explicitFolder))
                {
                    return (null, $"--out is empty: name a folder, or leave --out away for {parent}/{name}.", false);
                }

                if (File.Exists(explicitFolder))
                {
                    return (null, $"--out '{explicitFolder}' is a file: name a new folder, or leave --out away for {parent}/{name}.", false);
                }

                return TryClaim(explicitFolder, configuration)
                    ? (explicitFolder, null, false)
                    : (null, $"--out '{explicitFolder}' exists and is not empty: name a new folder, or leave --out away for {parent}/{name}.", false);
            }

            if (name is "." or ".." || name.AsSpan().ContainsAny("/\\\0"))
            {
                return (null, $"name is '{name}': must be usable as a folder's name; change it or give --out DIR.", false);
            }

            for (var number = 1; number <= MostRuns; number++)
            {
                var folder = FolderOf(name, parent, number);
                if (!Path.Exists(folder) && TryClaim(folder, configuration))
                {
                    return (folder, null, false);
                }
            }

            return (null, $"{parent} holds {MostRuns} runs of the name {name}: give --out DIR.", false);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException or ArgumentException)
        {
            return (null, $"The run's folder {explicitFolder ?? Path.Combine(parent, name)} cannot be made: {refused.Message}", refused is not ArgumentException);
        }
    }

    /// <summary>Where a run's configuration lies.</summary>
    public static string ConfigurationIn(string folder) => Path.Combine(folder, "config.yaml");

    /// <summary>The last folder that was taken for runs of a name; null where there is none.</summary>
    public static string? Newest(string name, string parent = "runs")
    {
        string? newest = null;
        for (var number = 1; number <= MostRuns && FolderOf(name, parent, number) is var folder && Directory.Exists(folder); number++)
        {
            newest = folder;
        }

        return newest;
    }

    /// <summary>
    /// Takes a folder in which a run was to begin and did not get that far: it holds nothing but a configuration and logs.
    /// </summary>
    /// <returns>Whether it is such a folder.</returns>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static bool TryTakeOver(string folder, string configuration)
    {
        if (!Directory.Exists(folder) || !Directory.EnumerateFileSystemEntries(folder).Any()
            || Directory.EnumerateFileSystemEntries(folder).Select(Path.GetFileName).Any(
                name => name is not ("logs" or "journal") && name?.StartsWith("config.yaml", StringComparison.Ordinal) != true))
        {
            return false;
        }

        Rewrite(folder, configuration);
        return true;
    }

    /// <summary>Puts another configuration in the place of a run's own, whole.</summary>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public static void Rewrite(string folder, string configuration)
    {
        var temporary = ConfigurationIn(folder) + ".tmp";
        File.WriteAllText(temporary, configuration);
        File.Move(temporary, ConfigurationIn(folder), overwrite: true);
    }

    /// <summary>Gives a folder back in which no run began; one that holds more than its configuration stays.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="withLogs">Whether it may hold logs and a plan of faults as well, of processes that have ended.</param>
    /// <returns>Whether it is gone.</returns>
    public static bool Abandon(string folder, bool withLogs = false)
    {
        var logs = Path.Combine(folder, "logs");
        string[] own = [ConfigurationIn(folder), .. withLogs ? [Path.Combine(folder, "faults.yaml"), logs] : Array.Empty<string>()];
        if (Directory.EnumerateFileSystemEntries(folder).Except(own).Any() || (Directory.Exists(logs) && Directory.EnumerateFileSystemEntries(logs).Any(l => !l.EndsWith(".log", StringComparison.Ordinal))))
        {
            return false;
        }

        Directory.Delete(folder, recursive: true);
        return true;
    }

    private static bool TryClaim(string folder, string configuration)
    {
        if (File.Exists(folder) || (Directory.Exists(folder) && Directory.EnumerateFileSystemEntries(folder).Any()))
        {
            return false;
        }

        // Of two launches at one moment only one can make the claim, and only then does anything else appear in the folder. The configuration is there whole, or not.
        Directory.CreateDirectory(folder);
        var claim = ConfigurationIn(folder) + ".claim";
        try
        {
            new FileStream(claim, FileMode.CreateNew, FileAccess.Write).Dispose();
        }
        catch (IOException) when (File.Exists(claim) || File.Exists(ConfigurationIn(folder)))
        {
            return false;
        }

        var isFree = !File.Exists(ConfigurationIn(folder));
        if (isFree)
        {
            Rewrite(folder, configuration);
        }

        File.Delete(claim);
        return isFree;
    }

    private static string FolderOf(string name, string parent, int number) => Path.Combine(parent, number == 1 ? name : $"{name}-{number}");
}
