using System.Text.Json;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary><c>manifest.json</c> of a checkpoint: everything about it but the numbers.</summary>
/// <param name="Header">Step, slots, vectors, scalars and hash, as the writer sent them.</param>
/// <param name="Layout">What the header lays out.</param>
/// <param name="Files">The files with their hashes, in the order of <see cref="CheckpointPart.Of"/>.</param>
/// <param name="Fields">All of it, with what the coordinator knew beside: cursor, seed, geometry, configuration.</param>
internal sealed record CheckpointManifest(CheckpointHeader Header, ParameterLayout Layout, IReadOnlyList<CheckpointFile> Files, JsonElement Fields)
{
    /// <summary>The file's name.</summary>
    public const string Name = "manifest.json";

    /// <summary>Raised when an older program could misread it. Format 1 did not say which slots are frozen or buffers, nor name the vectors.</summary>
    public const int Format = 2;

    /// <summary>Bytes; the slots of the largest models take some million.</summary>
    private const long Largest = 1 << 26;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    /// <summary>The text of a manifest.</summary>
    /// <param name="header">The header.</param>
    /// <param name="layout">What it lays out.</param>
    /// <param name="files">The files, written.</param>
    /// <param name="beside">What else it is to say.</param>
    public static byte[] Write(
        CheckpointHeader header, ParameterLayout layout, IReadOnlyList<CheckpointFile> files, IReadOnlyDictionary<string, object> beside) =>
        JsonSerializer.SerializeToUtf8Bytes(
            new Dictionary<string, object>(beside)
            {
                ["format"] = Format,
                ["step"] = header.Step,
                ["layout"] = layout.Fingerprint,
                ["weightsHash"] = header.WeightsHash,
                ["scalars"] = header.Scalars,
                ["vectors"] = header.Vectors,
                ["files"] = files,
                ["slots"] = header.Slots.Select(s => new { s.Name, s.Shape, s.Kind }),
            },
            Indented);

    /// <summary>Reads the manifest of a folder.</summary>
    /// <exception cref="InvalidDataException">It is none, or of another format; the message says what is wrong, as the end of a sentence.</exception>
    /// <exception cref="IOException">It cannot be read.</exception>
    public static CheckpointManifest ReadFrom(string folder)
    {
        using var file = File.OpenRead(Path.Combine(folder, Name));
        if (file.Length > Largest)
        {
            throw new InvalidDataException($"its {Name} has more than {Largest:N0} bytes");
        }

        var content = new byte[file.Length];
        file.ReadExactly(content);
        return Read(content);
    }

    /// <summary>Reads a manifest.</summary>
    /// <exception cref="InvalidDataException">It is none, or of another format; the message says what is wrong, as the end of a sentence.</exception>
    public static CheckpointManifest Read(byte[] content)
    {
        try
        {
            using var json = JsonDocument.Parse(content);
            var fields = json.RootElement.Clone();
            if (fields.GetProperty("format").GetInt32() is var format && format != Format)
            {
                throw new InvalidDataException($"it is of format {format}, this program goes on from format {Format}");
            }

            var header = ReadHeader(fields);
            var layout = CheckpointLayout.Of(header);
            if (fields.GetProperty("layout").GetString() != layout.Fingerprint)
            {
                throw new InvalidDataException($"the slots in its {Name} have another fingerprint than it says");
            }

            var files = fields.GetProperty("files").EnumerateArray().Select(f => new CheckpointFile(
                f.GetProperty("name").GetString()!, f.GetProperty("bytes").GetInt64(), f.GetProperty("dataSha256").GetString()!)).ToList();
            return files.Select(f => f.Name).SequenceEqual(CheckpointPart.Of(header).Select(p => p.Name))
                ? new CheckpointManifest(header, layout, files, fields)
                : throw new InvalidDataException($"its {Name} does not list the files that its vectors lie in");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException or ArgumentException)
        {
            throw new InvalidDataException($"its {Name} is unreadable", e);
        }
    }

    private static CheckpointHeader ReadHeader(JsonElement fields)
    {
        var header = new CheckpointHeader
        {
            Step = fields.GetProperty("step").GetInt64(),
            WeightsHash = fields.GetProperty("weightsHash").GetString(),
            Vectors = { fields.GetProperty("vectors").EnumerateArray().Select(v => v.GetString()) },
        };
        header.Slots.AddRange(fields.GetProperty("slots").EnumerateArray().Select(s => new Protocol.V1.Slot
        {
            Name = s.GetProperty("name").GetString(),
            Shape = { s.GetProperty("shape").EnumerateArray().Select(n => n.GetInt64()) },
            Kind = s.GetProperty("kind").GetInt32(),
        }));
        foreach (var scalar in fields.GetProperty("scalars").EnumerateObject())
        {
            header.Scalars[scalar.Name] = scalar.Value.GetDouble();
        }

        return header;
    }
}
