using System.Globalization;
using System.IO.MemoryMappedFiles;
using System.Security.Cryptography;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// Memory of one call that both of its ends have mapped: a page of control words, then the slots of two rings. Its file has a name from when the caller makes it until the
/// owner has mapped it, and begins with a random content, by which the owner proves that it has mapped the same.
/// </summary>
internal sealed unsafe class SharedSegment : IDisposable
{
    /// <summary>Bytes of the random content.</summary>
    public const int ContentBytes = 32;

    /// <summary>How many frames may be under way in each direction: a megabyte, as a pod has 64 for all.</summary>
    public const int Slots = 4;

    /// <summary>Its length.</summary>
    public const int Bytes = ControlBytes + 2 * RingBytes;

    private const int ControlBytes = 4096;
    private const int RingBytes = Slots * SharedRing.SlotBytes;

    private readonly FileStream _file;
    private readonly MemoryMappedFile _map;
    private readonly MemoryMappedViewAccessor _view;
    private readonly byte* _start;
    private bool _isNamed;

    private SharedSegment(FileStream file, bool isNamed)
    {
        (_file, _isNamed) = (file, isNamed);
        try
        {
            _map = MemoryMappedFile.CreateFromFile(file, null, Bytes, MemoryMappedFileAccess.ReadWrite, HandleInheritability.None, leaveOpen: true);
            _view = _map.CreateViewAccessor(0, Bytes);
        }
        catch
        {
            Unlink();
            _map?.Dispose();
            file.Dispose();
            throw;
        }

        _view.SafeMemoryMappedViewHandle.AcquirePointer(ref _start);
    }

    /// <summary>The file's name.</summary>
    public string Name => Path.GetFileName(_file.Name);

    /// <summary>The random content.</summary>
    public ReadOnlySpan<byte> Content => new(_start, ContentBytes);

    /// <summary>Makes a segment.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="tag">Whose it is; part of its name.</param>
    /// <param name="rank">The caller.</param>
    /// <param name="owner">The owner.</param>
    /// <exception cref="IOException">There is no room, or no such folder.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static SharedSegment Create(string folder, RunTag tag, int rank, int owner)
    {
        var segment = new SharedSegment(SharedFolder.Create(folder, tag, rank, owner.ToString(CultureInfo.InvariantCulture), Bytes), isNamed: true);
        RandomNumberGenerator.Fill(new Span<byte>(segment._start, ContentBytes));
        return segment;
    }

    /// <summary>Maps a segment that another process has made.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="name">Its name, as that process says.</param>
    /// <exception cref="IOException">There is none of that name here.</exception>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    /// <exception cref="InvalidDataException">It is no segment.</exception>
    public static SharedSegment Open(string folder, string name) => new(SharedFolder.Open(folder, name, FileAccess.ReadWrite, Bytes), isNamed: false);

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
}
