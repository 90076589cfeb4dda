using System.Formats.Tar;
using System.IO.Compression;
using System.Runtime.CompilerServices;
using System.Security.Cryptography;
using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Data;

/// <summary>How an archive is packed.</summary>
internal enum ArchiveKind
{
    /// <summary>A tar in a gzip.</summary>
    TarGz,

    /// <summary>A zip.</summary>
    Zip,
}

/// <summary>
/// Unpacks an archive into an empty folder. Nothing in it is believed: names stay below the folder, links and devices are refused, and what is written is counted, not what
/// is announced. Folders are made for files only.
/// </summary>
/// <param name="path">The archive.</param>
/// <param name="kind">How it is packed.</param>
/// <param name="source">What people call it.</param>
/// <param name="host">The clock, and whom to tell.</param>
internal sealed class DataArchive(string path, ArchiveKind kind, string source, DataHost host)
{
    private const int PieceBytes = 1 << 16;
    private const long RoomStep = 64 << 20;
    private const int UnixTypeMask = 0xF000;
    private const int UnixRegular = 0x8000;
    private const int UnixFolder = 0x4000;
    private readonly byte[] _piece = new byte[PieceBytes];
    private long _written;
    private long _room;

    /// <summary>Most entries.</summary>
    public int MostFiles { get; init; } = DataFiles.MostFiles;

    /// <summary>Most bytes of all files together.</summary>
    public required long MostBytes { get; init; }

    /// <summary>Told how many bytes are going to be written.</summary>
    public Func<long, CancellationToken, Task> MakeRoom { get; init; } = (_, _) => Task.CompletedTask;

    /// <summary>What a name says of what lies under it; null for no archive.</summary>
    public static ArchiveKind? KindOf(string name) =>
        name.EndsWith(".tar.gz", StringComparison.OrdinalIgnoreCase) || name.EndsWith(".tgz", StringComparison.OrdinalIgnoreCase) ? ArchiveKind.TarGz
        : name.EndsWith(".zip", StringComparison.OrdinalIgnoreCase) ? ArchiveKind.Zip
        : null;

    /// <summary>The folder in which an archive packs everything, as most do; empty where it does not.</summary>
    public static string TopFolder(IEnumerable<string> names) =>
        names.Select(n => n.IndexOf('/') is > 0 and var at ? n[..at] : "").Distinct().Take(2).ToList() is [var only] ? only : "";

    /// <summary>Unpacks it.</summary>
    /// <returns>The files.</returns>
    /// <exception cref="DataException">It is damaged, or holds what must not be.</exception>
    public async Task<IReadOnlyList<DataFileEntry>> UnpackAsync(string folder, CancellationToken cancellation)
    {
        var progress = new TransferProgress($"Unpacking {source}", null, host.Time, host.Say);
        var (names, files, entries) = (new DataNames(), new List<DataFileEntry>(), 0);
        try
        {
            await foreach (var item in kind == ArchiveKind.Zip ? ReadZipAsync(cancellation) : ReadTarAsync(cancellation))
            {
                if (++entries > MostFiles)
                {
                    throw Refused($"holds more than {MostFiles:N0} entries: pack fewer and larger files");
                }

                var name = DataName.Trim(item.Name);
                if (item.IsFolder)
                {
                    continue;
                }

                if ((item.IsFile ? names.Add(name) : "is neither a file nor a folder, but a link or a device") is { } problem)
                {
                    throw Refused($"holds {DataName.Show(item.Name)}, which {problem}: make it anew, with plain files below one folder");
                }

                await using var content = item.Open();
                files.Add(await WriteAsync(content, Path.Combine(folder, name), name, progress, cancellation));
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException or ArgumentException or NotSupportedException)
        {
            throw new DataException($"{source} cannot be unpacked, though it is the file it should be ({e.Message.TrimEnd('.')}): make the archive anew.", e);
        }

        progress.End();
        return files.Count > 0 ? files : throw Refused("holds no file: make it anew");
    }

    private async Task<DataFileEntry> WriteAsync(Stream content, string target, string name, TransferProgress progress, CancellationToken cancellation)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(target)!);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = new FileStream(target, FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0);
        for (int read; (read = await content.ReadAsync(_piece, cancellation)) > 0;)
        {
            _written += read;
            if (_written > MostBytes)
            {
                throw Refused($"holds more than {ByteSize.Format(MostBytes)}, which data.cache leaves for it: raise that, or put the data on a volume and set data.path");
            }

            if (_written > _room)
            {
                _room = Math.Min(_written + RoomStep, MostBytes);
                await MakeRoom(_room, cancellation);
            }

            hash.AppendData(_piece, 0, read);
            await file.WriteAsync(_piece.AsMemory(0, read), cancellation);
            progress.Add(read);
        }

        return new DataFileEntry(name, file.Length, Convert.ToHexStringLower(hash.GetHashAndReset()));
    }

    private async IAsyncEnumerable<Item> ReadTarAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var file = Open();
        await using var unpacked = new GZipStream(file, CompressionMode.Decompress);
        await using var tar = new TarReader(unpacked);
        while (await tar.GetNextEntryAsync(copyData: false, cancellation) is { } entry)
        {
            if (entry.EntryType != TarEntryType.GlobalExtendedAttributes)
            {
                var isFile = entry.EntryType is TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile;
                yield return new Item(entry.Name, isFile, entry.EntryType == TarEntryType.Directory, () => entry.DataStream ?? Stream.Null);
            }
        }
    }

    private async IAsyncEnumerable<Item> ReadZipAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        await using var file = Open();
        await using var zip = await ZipArchive.CreateAsync(file, ZipArchiveMode.Read, leaveOpen: false, entryNameEncoding: null, cancellation);
        foreach (var entry in zip.Entries)
        {
            // The upper half holds the mode where the archive was made on a Unix; 0 elsewhere.
            var type = (entry.ExternalAttributes >> 16) & UnixTypeMask;
            var isFolder = entry.FullName.EndsWith('/') && type is 0 or UnixFolder;
            yield return new Item(entry.FullName, type is 0 or UnixRegular && !isFolder, isFolder, entry.Open);
        }
    }

    private FileStream Open() => new(path, FileMode.Open, FileAccess.Read, FileShare.Read, PieceBytes, useAsync: true);

    private DataException Refused(string why) => new($"{source} {why}.");

    private sealed record Item(string Name, bool IsFile, bool IsFolder, Func<Stream> Open);
}
