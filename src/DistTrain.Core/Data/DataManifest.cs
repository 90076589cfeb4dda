using System.Globalization;
using System.Security.Cryptography;
using System.Text;

namespace DistTrain.Core.Data;

/// <summary>One file of a run's data.</summary>
/// <param name="Name">Its path below their folder, parts separated by slashes.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="Sha256">SHA-256 of its content, lower-case hexadecimal.</param>
public sealed record DataFileEntry(string Name, long Bytes, string Sha256);

/// <summary>What a run's data consist of, to the bit. Two hosts with equal fingerprints hold the same files under the same names.</summary>
public sealed class DataManifest
{
    private const string Title = "disttrain data 1";

    /// <summary>A list of files.</summary>
    /// <param name="isSingleFile">Whether the data are one file, and no folder with one.</param>
    /// <param name="files">The files, in any order.</param>
    /// <exception cref="FormatException">They cannot be; the message is the end of a sentence.</exception>
    public DataManifest(bool isSingleFile, IEnumerable<DataFileEntry> files)
    {
        IsSingleFile = isSingleFile;
        Files = [.. files.OrderBy(f => f.Name, StringComparer.Ordinal)];
        Check();
        Fingerprint = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(Lines())));
    }

    /// <summary>Whether the data are one file, and no folder with one.</summary>
    public bool IsSingleFile { get; }

    /// <summary>The files, by name.</summary>
    public IReadOnlyList<DataFileEntry> Files { get; }

    /// <summary>All of them together.</summary>
    public long Bytes => Files.Sum(f => f.Bytes);

    /// <summary>SHA-256 of names, lengths and hashes, lower-case hexadecimal.</summary>
    public string Fingerprint { get; }

    /// <summary>A text that <see cref="Parse"/> reads; a changed character is found.</summary>
    public string Write() => $"{Title} {Fingerprint}\n{Lines()}";

    /// <summary>Reads what <see cref="Write"/> wrote; null where it is anything else.</summary>
    public static DataManifest? Parse(string text)
    {
        var lines = text.Split('\n');
        if (lines.Length < 3 || lines[^1].Length > 0)
        {
            return null;
        }

        var files = new List<DataFileEntry>();
        foreach (var line in lines[2..^1])
        {
            if (line.Split(' ', 3) is not [var sha256, var length, var name]
                || !long.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out var bytes))
            {
                return null;
            }

            files.Add(new DataFileEntry(name, bytes, sha256));
        }

        try
        {
            var manifest = new DataManifest(lines[1] == "file", files);
            return manifest.Write() == text ? manifest : null;
        }
        catch (FormatException)
        {
            return null;
        }
    }

    private string Lines()
    {
        var text = new StringBuilder(IsSingleFile ? "file\n" : "folder\n");
        foreach (var file in Files)
        {
            text.Append(CultureInfo.InvariantCulture, $"{file.Sha256} {file.Bytes} {file.Name}\n");
        }

        return text.ToString();
    }

    private void Check()
    {
        if (Files.Count is 0 or > DataFiles.MostFiles || (IsSingleFile && Files.Count != 1))
        {
            throw new FormatException($"there are {Files.Count:N0} files, and 1 to {DataFiles.MostFiles:N0} can be: pack them into fewer, or into an archive for data.url");
        }

        var names = new DataNames();
        foreach (var file in Files)
        {
            if (names.Add(file.Name) is { } problem)
            {
                throw new FormatException($"the name {DataName.Show(file.Name)} {problem}");
            }

            if (file.Bytes < 0 || file.Sha256.Length != 64 || !file.Sha256.All(char.IsAsciiHexDigitLower))
            {
                throw new FormatException($"{DataName.Show(file.Name)} has no length or hash that could be one");
            }
        }

        if (Files.Aggregate(0UL, (sum, f) => Math.Min(long.MaxValue, sum + (ulong)f.Bytes)) >= long.MaxValue)
        {
            throw new FormatException("the lengths add up to more than there can be");
        }
    }
}
