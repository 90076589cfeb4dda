using System.Security.Cryptography;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// A small file with a random content, by which a worker finds out which peers are on its host: who can read it shares its memory, which no address proves. One serves for all
/// peers, and is there while they are being linked.
/// </summary>
internal sealed class HostProbe : IDisposable
{
    /// <summary>Its length.</summary>
    public const int Bytes = 32;

    private readonly byte[] _content = RandomNumberGenerator.GetBytes(Bytes);
    private readonly FileStream? _file;

    private HostProbe(FileStream? file, string problem) => (_file, Problem) = (file, problem);

    /// <summary>The file's name; empty where there is none.</summary>
    public string Name => Path.GetFileName(_file?.Name) ?? "";

    /// <summary>Why there is none, though shared memory is wanted; empty for no reason.</summary>
    public string Problem { get; }

    /// <summary>Makes one, where shared memory is wanted, and takes away what killed processes have left there.</summary>
    /// <param name="settings">What this worker uses.</param>
    /// <param name="tag">Run, term and generation.</param>
    /// <param name="rank">The own rank.</param>
    public static HostProbe Create(LinkSettings settings, RunTag tag, int rank)
    {
        if (!settings.Transports.Contains(Transports.SharedMemory))
        {
            return new HostProbe(null, "");
        }

        HostProbe? probe = null;
        try
        {
            var file = SharedFolder.Create(settings.Folder, tag, rank, SharedFolder.Probe, Bytes);
            probe = new HostProbe(file, "");
            file.Write(probe._content);
            SharedFolder.Sweep(settings.Folder, File.GetLastWriteTimeUtc(file.Name));
            return probe;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            probe?.Dispose();
            return new HostProbe(null, e.Message.TrimEnd('.'));
        }
    }

    /// <summary>Reads the content of another worker's.</summary>
    /// <exception cref="IOException">There is none of that name here.</exception>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    /// <exception cref="InvalidDataException">It is no probe.</exception>
    public static byte[] Read(string folder, string name)
    {
        using var file = SharedFolder.Open(folder, name, FileAccess.Read, Bytes);
        var content = new byte[Bytes];
        file.ReadExactly(content);
        return content;
    }

    /// <summary>Whether a peer has read this one.</summary>
    /// <param name="content">What it has read.</param>
    public bool IsSeenAs(ReadOnlySpan<byte> content) => _file is not null && CryptographicOperations.FixedTimeEquals(_content, content);

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_file is not null)
        {
            File.Delete(_file.Name);
            _file.Dispose();
        }
    }
}
