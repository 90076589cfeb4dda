using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Memory of one call that both of its ends have mapped: a page of control words, then the slots of two rings. Its file lives in <c>/dev/shm</c> from when the caller makes
/// it until the owner has mapped it, and begins with a random content, by which the owner proves that it reads the same file.
/// </summary>
internal sealed unsafe class SharedSegment : IDisposable
{
    /// <summary>Where segments are made.</summary>
    public const string Folder = "/dev/shm";

    /// <summary>Bytes of the random content.</summary>
    public const int ContentBytes = 32;

    /// <summary>How many frames may be under way in each direction: a megabyte, as a pod has 64 for all.</summary>
    public const int Slots = 4;

    private const string Prefix = "disttrain-";
    private const int ControlBytes = 4096;
    private const int RingBytes = Slots * SharedRing.SlotBytes;
    private const int Bytes = ControlBytes + 2 * RingBytes;
    private static readonly TimeSpan Young = TimeSpan.FromMinutes(1);

    private readonly FileStream _file;
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private bool _isNamed;

    private SharedSegment(FileStream file, bool isNamed)
    {
        (_file, _isNamed) = (file, isNamed);
        _map = MemoryMappedFile.CreateFromFile(file, null, Bytes, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
        _view = _map.CreateViewAccessor(0, Bytes);
        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    /// <summary>The file's name in <see cref="Folder"/>.</summary>
    public string Name => Path.GetFileName(_file.Name);

    /// <summary>The random content.</summary>
    public ReadOnlySpan<byte> Content => new(_start, ContentBytes);

    /// <summary>Makes a segment. All of its memory is there: what the file system has not got is an error now, not a signal later.</summary>
    /// <param name="folder"><see cref="Folder"/>, or what a test has in its place.</param>
    /// <param name="tag">Whose it is; part of its name.</param>
    /// <param name="rank">The caller.</param>
    /// <param name="owner">The owner.</param>
    /// <exception cref="IOException">There is no room, or no such folder.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static SharedSegment Create(string folder, RunTag tag, int rank, int owner)
    {
        var nonce = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
        var path = Path.Combine(folder, $"{Prefix}{tag.Run:x16}-{tag.Generation}-{rank}-{owner}-{nonce}");

        // Whoever has it open holds a shared lock, which the system takes from a process that is killed: that is how the next one knows what is left over.
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.ReadWrite,
            PreallocationSize = Bytes,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var file = Allocate(folder, path, options);
        try
        {
            Sweep(folder, File.GetLastWriteTimeUtc(path));
            file.SetLength(Bytes);
            var segment = new SharedSegment(file, isNamed: true);
            RandomNumberGenerator.Fill(new Span<byte>(segment._start, ContentBytes));
            return segment;
        }
        catch
        {
            File.Delete(path);
            file.Dispose();
            throw;
        }
    }

    /// <summary>Maps a segment that another process has made.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="name">Its name, as that process says.</param>
    /// <exception cref="IOException">There is none of that name here.</exception>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    /// <exception cref="InvalidDataException">It is no segment.</exception>
    public static SharedSegment Open(string folder, string name)
    {
        if (!name.StartsWith(Prefix, StringComparison.Ordinal) || !name.All(c => char.IsAsciiLetterOrDigit(c) || c == '-'))
        {
            throw new InvalidDataException($"'{name}' is no segment's name");
        }

        var path = Path.Combine(folder, name);
        if (new FileInfo(path) is { LinkTarget: not null })
        {
            throw new InvalidDataException($"{path} is a link");
        }

        var file = new FileStream(path, new FileStreamOptions { Access = FileAccess.ReadWrite, Share = FileShare.ReadWrite, BufferSize = 0 });
        if (file.Length != Bytes)
        {
            file.Dispose();
            throw new InvalidDataException($"{path} is no segment");
        }

        return new SharedSegment(file, isNamed: false);
    }

    /// <summary>One of the two rings.</summary>
    /// <param name="toOwner">Whether it leads from caller to owner.</param>
    public SharedRing Ring(bool toOwner)
    {
        var index = toOwner ? 0 : 1;
        return new SharedRing(_start + ContentBytes * 4 + index * SharedRing.ControlBytes, _start + ControlBytes + (long)index * RingBytes, Slots);
    }

    /// <summary>Takes the name away; the memory lasts as long as somebody has it mapped.</summary>
    public void Unlink()
    {
        if (_isNamed)
        {
            _isNamed = false;
            File.Delete(_file.Name);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Unlink();
        _view.SafeMemoryMappedViewHandle.ReleasePointer();
        _view.Dispose();
        _map.Dispose();
        _file.Dispose();
    }

    private static FileStream Allocate(string folder, string path, FileStreamOptions options)
    {
        try
        {
            return new FileStream(path, options);
        }
        catch (IOException e) when (Directory.Exists(folder) && new DriveInfo(folder).AvailableFreeSpace < Bytes)
        {
            throw new IOException($"{folder} has no room for another {Bytes:N0} bytes", e);
        }
    }

    /// <summary>Takes away what processes left behind that were killed between making a segment and its being mapped.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="now">By the clock of that file system. One that is just being made is left alone.</param>
    internal static void Sweep(string folder, DateTime now)
    {
        foreach (var path in Directory.EnumerateFiles(folder, $"{Prefix}*"))
        {
            try
            {
                if (now - File.GetLastWriteTimeUtc(path) > Young)
                {
                    using var abandoned = new FileStream(path, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                    File.Delete(path);
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Somebody has it still, or it is another user's.
            }
        }
    }
}
