namespace DistTrain.Training.Data;

/// <summary>What of a file has arrived so far, with the server's word for which version it is of.</summary>
internal sealed class PartFile(string path) : IAsyncDisposable
{
    private readonly FileStream _file = new(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
    private readonly string _version = path + ".version";

    /// <summary>How many bytes there are.</summary>
    public long Length => _file.Length;

    /// <summary>The version by which the server may be asked for the rest; null where it gave none.</summary>
    public string? Version
    {
        get => File.Exists(_version) ? File.ReadAllText(_version) : null;
        set
        {
            if (value is null)
            {
                File.Delete(_version);
            }
            else
            {
                File.WriteAllText(_version, value);
            }
        }
    }

    /// <summary>Reads it from the start.</summary>
    public async IAsyncEnumerable<ReadOnlyMemory<byte>> ReadAsync(byte[] buffer, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        _file.Position = 0;
        for (int read; (read = await _file.ReadAsync(buffer, cancellation)) > 0;)
        {
            yield return buffer.AsMemory(0, read);
        }
    }

    /// <summary>Adds to its end.</summary>
    public async ValueTask AppendAsync(ReadOnlyMemory<byte> bytes, CancellationToken cancellation)
    {
        _file.Position = _file.Length;
        await _file.WriteAsync(bytes, cancellation);
    }

    /// <summary>Takes everything away.</summary>
    public void Clear()
    {
        _file.SetLength(0);
        Version = null;
    }

    /// <summary>Gives the whole file its name.</summary>
    public void MoveTo(string target)
    {
        // On the disk before the name is: else a power cut could leave the name of an empty file.
        _file.Flush(flushToDisk: true);
        File.Move(path, target, overwrite: true);
        Version = null;
    }

    /// <summary>Closes it; one of nothing is removed.</summary>
    public async ValueTask DisposeAsync()
    {
        var isEmpty = _file.Length == 0;
        await _file.DisposeAsync();
        if (isEmpty)
        {
            File.Delete(path);
            Version = null;
        }
    }
}
