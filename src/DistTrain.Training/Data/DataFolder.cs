using System.IO.Enumeration;
using DistTrain.Core.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>Finds out which files lie at a path.</summary>
public static class DataFolder
{
    private static readonly EnumerationOptions Everything = new()
    {
        RecurseSubdirectories = true,
        AttributesToSkip = FileAttributes.None,
        IgnoreInaccessible = false,
        MaxRecursionDepth = 64,
    };

    /// <summary>Every file below a folder; folders that are links are not entered, they may lead in circles.</summary>
    internal static IEnumerable<string> FilesBelow(string folder) =>
        new FileSystemEnumerable<string>(folder, (ref FileSystemEntry entry) => entry.ToFullPath(), Everything)
        {
            ShouldIncludePredicate = (ref FileSystemEntry entry) => !entry.IsDirectory,
            ShouldRecursePredicate = (ref FileSystemEntry entry) => !entry.Attributes.HasFlag(FileAttributes.ReparsePoint),
        };

    /// <summary>The file at a path, or every file below that folder. Folders that are links are not entered.</summary>
    /// <param name="path">The path; null or empty where the configuration has none.</param>
    /// <exception cref="DataException">There is nothing, or it cannot be listed.</exception>
    public static DataFiles At(string? path)
    {
        if (string.IsNullOrEmpty(path))
        {
            throw new DataException("data.path is not set: set it to the file or folder with the data, or set data.url.");
        }

        if (File.Exists(path))
        {
            return new DataFiles(path, Names: null);
        }

        if (!Directory.Exists(path))
        {
            throw new DataException($"{path} does not exist: put the data there, or change data.path.");
        }

        try
        {
            var names = new List<string>();
            foreach (var file in FilesBelow(path))
            {
                names.Add(Path.GetRelativePath(path, file).Replace(Path.DirectorySeparatorChar, '/'));
                if (names.Count > DataFiles.MostFiles)
                {
                    throw new DataException(
                        $"{path} holds more than {DataFiles.MostFiles:N0} files: pack them into fewer, or into an archive for data.url.");
                }
            }

            return names.Count > 0 ? new DataFiles(path, names) : throw new DataException($"{path} holds no file: put the data there, or change data.path.");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path} cannot be listed ({e.Message}): make it readable, or change data.path.", e);
        }
    }
}
