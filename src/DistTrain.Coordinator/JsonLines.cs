using System.Text.Json;

namespace DistTrain.Coordinator;

/// <summary>
/// An append-only file with one JSON object a line. Lines that the disk does not take wait in memory and are written later, in order; what was written of a line
/// is cut off before it is written anew, so a reader finds whole lines, and at most one that is still being written.
/// </summary>
internal sealed class JsonLines : IDisposable
{
    /// <summary>How many lines may wait, some 20 MB of them. Of more, the oldest are lost.</summary>
    public const int MostWaiting = 65_536;

    /// <summary>Lines that wait are written so many bytes at a time: a step of a thousand workers has a thousand.</summary>
    private const int BatchBytes = 1 << 16;

    /// <summary>How lines are written and read.</summary>
    public static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    private readonly Stream _file;
    private readonly int _mostWaiting;
    private readonly Queue<byte[]> _waiting = new();
    private long _whole;
    private bool _isTorn;

    /// <summary>Opens a file, or begins it. Of what is there, a last line without an end is cut off.</summary>
    /// <exception cref="IOException">It cannot be opened.</exception>
    public JsonLines(string path, IDisk disk, int mostWaiting = MostWaiting)
    {
        Name = Path.GetFileName(path);
        _mostWaiting = mostWaiting;
        _file = disk.Open(path, FileMode.OpenOrCreate);
        _whole = EndOfLastLine();
        _isTorn = _whole < _file.Length;
        _file.Position = _whole;
    }

    /// <summary>The file's name.</summary>
    public string Name { get; }

    /// <summary>Why the disk did not take the last line; null where all lines are written.</summary>
    public string? Trouble { get; private set; }

    /// <summary>Lines that wait.</summary>
    public int Waiting => _waiting.Count;

    /// <summary>Lines that were lost, because too many waited.</summary>
    public long Lost { get; private set; }

    /// <summary>Appends objects, together where the disk takes them.</summary>
    public void Append(params IEnumerable<object> lines)
    {
        foreach (var line in lines)
        {
            var json = JsonSerializer.SerializeToUtf8Bytes(line, Options);
            Array.Resize(ref json, json.Length + 1);
            json[^1] = (byte)'\n';
            if (_waiting.Count >= _mostWaiting)
            {
                _waiting.Dequeue();
                Lost++;
            }

            _waiting.Enqueue(json);
        }

        TryWrite();
    }

    /// <summary>Writes what waits.</summary>
    /// <returns>Whether nothing waits any more.</returns>
    public bool TryWrite()
    {
        try
        {
            while (_waiting.Count > 0)
            {
                if (_isTorn)
                {
                    _file.SetLength(_whole);
                    _file.Position = _whole;
                }

                var (bytes, lines) = NextBatch();
                _isTorn = true;
                _file.Write(bytes);
                _isTorn = false;
                _whole += bytes.Length;
                for (; lines > 0; lines--)
                {
                    _waiting.Dequeue();
                }
            }

            Trouble = null;
            return true;
        }
        catch (Exception e) when (Disk.IsRefusal(e))
        {
            Trouble = Disk.Why(e);
            return false;
        }
    }

    /// <summary>Has the system write everything it took to the disk; what waits has no part in it. May be called while lines are appended.</summary>
    public void FlushToDisk() => Disk.Sync(_file);

    /// <summary>JSON knows no NaN and no infinity: they become null.</summary>
    public static double? Finite(double value) => double.IsFinite(value) ? value : null;

    public void Dispose() => _file.Dispose();

    /// <summary>The lines that wait, up to so many bytes.</summary>
    private (byte[] Bytes, int Lines) NextBatch()
    {
        if (_waiting.Count == 1)
        {
            return (_waiting.Peek(), 1);
        }

        var batch = new List<byte[]>();
        var bytes = 0;
        foreach (var line in _waiting.TakeWhile(line => batch.Count == 0 || bytes + line.Length <= BatchBytes))
        {
            batch.Add(line);
            bytes += line.Length;
        }

        var joined = new byte[bytes];
        var at = 0;
        foreach (var line in batch)
        {
            line.CopyTo(joined, at);
            at += line.Length;
        }

        return (joined, batch.Count);
    }

    private long EndOfLastLine()
    {
        var buffer = new byte[1 << 12];
        for (var end = _file.Length; end > 0;)
        {
            var count = (int)Math.Min(buffer.Length, end);
            _file.Position = end - count;
            _file.ReadExactly(buffer, 0, count);
            if (buffer.AsSpan(0, count).LastIndexOf((byte)'\n') is var at and >= 0)
            {
                return end - count + at + 1;
            }

            end -= count;
        }

        return 0;
    }
}
