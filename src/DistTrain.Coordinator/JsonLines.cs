using System.Text.Json;

namespace DistTrain.Coordinator;

/// <summary>An append-only file with one JSON object a line. A line is written whole or not at all, as far as the system allows.</summary>
internal sealed class JsonLines(string path) : IDisposable
{
    private static readonly JsonSerializerOptions Options = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private readonly FileStream _file = new(path, FileMode.Append, FileAccess.Write, FileShare.Read, bufferSize: 0);

    /// <summary>Appends one object.</summary>
    public void Append(object line)
    {
        var json = JsonSerializer.SerializeToUtf8Bytes(line, Options);
        Array.Resize(ref json, json.Length + 1);
        json[^1] = (byte)'\n';
        _file.Write(json);
    }

    /// <summary>JSON knows no NaN and no infinity: they become null.</summary>
    public static double? Finite(double value) => double.IsFinite(value) ? value : null;

    public void Dispose() => _file.Dispose();
}
