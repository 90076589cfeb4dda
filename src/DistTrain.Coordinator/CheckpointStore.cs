using System.Security.Cryptography;
using System.Text.Json;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Slot = DistTrain.Core.Layouts.Slot;

namespace DistTrain.Coordinator;

/// <summary>A checkpoint that is complete on disk.</summary>
/// <param name="Header">Step, layout and vectors, as the writer sent them.</param>
/// <param name="Folder">Where it lies.</param>
/// <param name="ModelSha256">SHA-256 of the weights' bytes, without the file's head.</param>
/// <param name="Parameters">Elements of the layout.</param>
internal sealed record PublishedCheckpoint(CheckpointHeader Header, string Folder, string ModelSha256, long Parameters);

/// <summary>
/// Receives states into <c>checkpoints/step-NNNNNNNN/</c> and serves them. A checkpoint is written beside its place, checked against the
/// writer's SHA-256, synced, and renamed: it is there whole, or not at all.
/// </summary>
internal sealed class CheckpointStore(string folder, int keep)
{
    private const string ModelFile = "model.safetensors";
    private const string OptimizerFile = "optimizer.safetensors";
    private const int ChunkBytes = 1 << 18;

    /// <summary>A quarter of a terabyte of weights: what is larger is a damaged header.</summary>
    private const long MostElements = 1L << 36;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private readonly Dictionary<long, PublishedCheckpoint> _published = [];
    private int _attempts;

    /// <summary>The newest, if any.</summary>
    public PublishedCheckpoint? Newest
    {
        get
        {
            lock (_published)
            {
                return _published.Count == 0 ? null : _published[_published.Keys.Max()];
            }
        }
    }

    /// <summary>Receives one checkpoint.</summary>
    /// <param name="chunks">The header, the data in order, the hash.</param>
    /// <param name="manifest">Makes the manifest's fields beside those of the header and the hashes.</param>
    /// <param name="cancellation">Ends the attempt; nothing is left behind.</param>
    /// <exception cref="RpcException">What came is not a whole checkpoint.</exception>
    public async Task<PublishedCheckpoint> ReceiveAsync(
        IAsyncStreamReader<CheckpointChunk> chunks, Func<CheckpointHeader, IReadOnlyDictionary<string, object>> manifest, CancellationToken cancellation)
    {
        if (!await chunks.MoveNext(cancellation) || chunks.Current.Header is not { } header)
        {
            throw Refuse("it does not begin with a header");
        }

        var (layout, vectors) = Read(header);
        lock (_published)
        {
            if (_published.ContainsKey(header.Step))
            {
                throw new RpcException(new Status(StatusCode.AlreadyExists, $"There is a checkpoint of step {header.Step} already."));
            }
        }

        var target = Path.Combine(folder, $"step-{header.Step:00000000}");
        var temporary = $"{target}.{Interlocked.Increment(ref _attempts)}.tmp";
        if (Directory.Exists(temporary))
        {
            Directory.Delete(temporary, recursive: true);
        }

        Directory.CreateDirectory(temporary);
        try
        {
            var files = await WriteAsync(chunks, layout, vectors, temporary, cancellation);
            var fields = new Dictionary<string, object>(manifest(header))
            {
                ["format"] = 1,
                ["step"] = header.Step,
                ["layout"] = layout.Fingerprint,
                ["weightsHash"] = header.WeightsHash,
                ["scalars"] = header.Scalars,
                ["files"] = files,
            };
            WriteSynced(Path.Combine(temporary, "manifest.json"), JsonSerializer.SerializeToUtf8Bytes(fields, Indented));
            var published = new PublishedCheckpoint(header, target, files[0].DataSha256, layout.Count);
            Publish(published, temporary);
            return published;
        }
        catch
        {
            Directory.Delete(temporary, recursive: true);
            throw;
        }
    }

    /// <summary>Sends a published checkpoint.</summary>
    /// <exception cref="RpcException">There is none of that step.</exception>
    public async Task SendAsync(long step, IServerStreamWriter<CheckpointChunk> chunks, CancellationToken cancellation)
    {
        PublishedCheckpoint? checkpoint;
        lock (_published)
        {
            _published.TryGetValue(step, out checkpoint);
        }

        if (checkpoint is null)
        {
            throw new RpcException(new Status(StatusCode.NotFound, $"There is no checkpoint of step {step}."));
        }

        await chunks.WriteAsync(new CheckpointChunk { Header = checkpoint.Header }, cancellation);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[ChunkBytes];
        for (var vector = 0; vector < checkpoint.Header.Vectors.Count; vector++)
        {
            var (file, place) = vector == 0 ? (ModelFile, 0) : (OptimizerFile, vector - 1);
            await using var stream = File.OpenRead(Path.Combine(checkpoint.Folder, file));
            var head = new byte[sizeof(long)];
            await stream.ReadExactlyAsync(head, cancellation);
            stream.Position = sizeof(long) + BitConverter.ToInt64(head) + (place * checkpoint.Parameters * sizeof(float));
            for (var offset = 0L; offset < checkpoint.Parameters;)
            {
                var bytes = (int)Math.Min(ChunkBytes, (checkpoint.Parameters - offset) * sizeof(float));
                await stream.ReadExactlyAsync(buffer.AsMemory(0, bytes), cancellation);
                hash.AppendData(buffer, 0, bytes);
                await chunks.WriteAsync(
                    new CheckpointChunk { Vector = (uint)vector, Offset = offset, Data = ByteString.CopyFrom(buffer, 0, bytes) }, cancellation);
                offset += bytes / sizeof(float);
            }
        }

        await chunks.WriteAsync(new CheckpointChunk { Sha256 = ByteString.CopyFrom(hash.GetHashAndReset()) }, cancellation);
    }

    private static (ParameterLayout Layout, IReadOnlyList<string> Vectors) Read(CheckpointHeader header)
    {
        var elements = 0L;
        foreach (var slot in header.Slots)
        {
            var count = slot.Shape.Aggregate((Int128)1, (product, size) => Int128.Min(product * size, MostElements + 1));
            elements = (long)Int128.Min(elements + count, MostElements + 1);
            if (slot.Shape.Any(size => size < 0) || elements > MostElements)
            {
                throw Refuse($"the shape of '{slot.Name}' is negative, or larger than any memory");
            }
        }

        if (header.Step < 0 || header.Vectors.Count == 0 || header.Vectors.Distinct().Count() < header.Vectors.Count)
        {
            throw Refuse("its header names a negative step, no vectors, or one twice");
        }

        try
        {
            var layout = new ParameterLayout(header.Slots.Select(s => (s.Name, (IReadOnlyList<long>)[.. s.Shape], (SlotKind)s.Kind)));
            return (layout, [.. header.Vectors]);
        }
        catch (ArgumentException e)
        {
            throw Refuse(e.Message);
        }
    }

    private static async Task<List<FileEntry>> WriteAsync(
        IAsyncStreamReader<CheckpointChunk> chunks, ParameterLayout layout, IReadOnlyList<string> vectors, string temporary, CancellationToken cancellation)
    {
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var files = new List<FileEntry>();
        var received = await WriteFileAsync(ModelFile, [""]);
        if (vectors.Count > 1)
        {
            received &= await WriteFileAsync(OptimizerFile, [.. vectors.Skip(1).Select(v => v + ".")]);
        }

        if (!received || !await chunks.MoveNext(cancellation) || !chunks.Current.Sha256.Span.SequenceEqual(all.GetHashAndReset()))
        {
            throw Refuse("it is cut short, or its SHA-256 is not the writer's");
        }

        return files;

        async Task<bool> WriteFileAsync(string name, IReadOnlyList<string> prefixes)
        {
            using var data = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            await using var file = File.Create(Path.Combine(temporary, name));
            await file.WriteAsync(SafetensorsHeader.Build(layout.Slots, prefixes), cancellation);
            for (var left = prefixes.Count * layout.Count * sizeof(float); left > 0;)
            {
                if (!await chunks.MoveNext(cancellation) || chunks.Current.Data.IsEmpty || chunks.Current.Data.Length > left)
                {
                    return false;
                }

                var bytes = chunks.Current.Data;
                all.AppendData(bytes.Span);
                data.AppendData(bytes.Span);
                await file.WriteAsync(bytes.Memory, cancellation);
                left -= bytes.Length;
            }

            file.Flush(flushToDisk: true);
            files.Add(new FileEntry(name, file.Length, Convert.ToHexStringLower(data.GetHashAndReset())));
            return true;
        }
    }

    private static void WriteSynced(string path, byte[] content)
    {
        using var file = File.Create(path);
        file.Write(content);
        file.Flush(flushToDisk: true);
    }

    private static RpcException Refuse(string what) =>
        new(new Status(StatusCode.InvalidArgument, $"The checkpoint is refused: {what}."));

    private void Publish(PublishedCheckpoint published, string temporary)
    {
        lock (_published)
        {
            if (Directory.Exists(published.Folder))
            {
                Directory.Delete(published.Folder, recursive: true);
            }

            Directory.Move(temporary, published.Folder);
            _published[published.Header.Step] = published;
            while (_published.Count > keep)
            {
                _published.Remove(_published.Keys.Min(), out var oldest);
                Directory.Delete(oldest!.Folder, recursive: true);
            }
        }
    }

    private sealed record FileEntry(string Name, long Bytes, string DataSha256);
}
