using System.Text.Json;

namespace DistTrain.Coordinator;

/// <summary>An append-only file with one JSON object a line. A line is written whole or not at all, as far as the system allows.</summary>
internal sealed class JsonLines(string path) : IDisposable
{
    /// <summary>How lines are written and read.</summary>
    public static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private readonly FileStream _file = Open(path);

    /// <summary>Appends one object.</summary>
    public void Append(object line)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(line, Options);
        Array.Resize(ref json, json.Length + 1);
        json[^1] = (byte)'\n';
        _file.Write(json);
    }

    /// <summary>Has the system write everything to the disk. May be called while lines are appended.</summary>
    public void FlushToDisk() => RandomAccess.FlushToDisk(_file.SafeFileHandle);

    /// <summary>JSON knows no NaN and no infinity: they become null.</summary>
    public static double? Finite(double value) => double.IsFinite(value) ? value : null;

    public void Dispose() => _file.Dispose();

    /// <summary>Opens a file to append to. A line that an earlier process left torn is cut off.</summary>
    private static FileStream Open(string path)
    {
        var file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        var end = file.Length;
        for (var last = new byte[1]; end > 0; end--)
        {
            file.Position = end - 1;
            if (file.Read(last) == 1 && last[0] == (byte)'\n')
            {
                break;
            }
        }

        file.SetLength(end);
        file.Position = end;
        return file;
    }
}
