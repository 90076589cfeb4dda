using System.Security.Cryptography;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>Writes an arriving state into a folder, checked against the writer's SHA-256 and synced.</summary>
/// <param name="disk">Where files are created.</param>
internal sealed class CheckpointWriter(IDisk disk)
{
    /// <summary>Writes everything that comes after the header.</summary>
    /// <param name="chunks">The data in order, then the hash.</param>
    /// <param name="header">What was announced.</param>
    /// <param name="layout">What it lays out.</param>
    /// <param name="beside">What the manifest says beside header and hashes.</param>
    /// <param name="folder">An empty folder.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <returns>What was written.</returns>
    /// <exception cref="InvalidDataException">What came is not what was announced; the message is the end of a sentence.</exception>
    /// <exception cref="IOException">It cannot be written.</exception>
    public async Task<CheckpointManifest> WriteAsync(
        IAsyncStreamReader<CheckpointChunk> chunks, CheckpointHeader header, ParameterLayout layout, IReadOnlyDictionary<string, object> beside,
        string folder, CancellationToken cancellation)
    {
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var files = new List<CheckpointFile>();
        foreach (var part in CheckpointPart.Of(header))
        {
            files.Add(await WriteAsync(chunks, part, layout, folder, all, cancellation));
        }

        if (!await chunks.MoveNext(cancellation) || !chunks.Current.Sha256.Span.SequenceEqual(all.GetHashAndReset()))
        {
            throw NotWhole();
        }

        var manifest = CheckpointManifest.Write(header, layout, files, beside);
        await using (var file = disk.Open(Path.Combine(folder, CheckpointManifest.Name), FileMode.CreateNew))
        {
            file.Write(manifest);
            Disk.Sync(file);
        }

        Disk.SyncFolder(folder);
        // What is published is what another process would read.
        return CheckpointManifest.Read(manifest);
    }

    private async Task<CheckpointFile> WriteAsync(
        IAsyncStreamReader<CheckpointChunk> chunks, CheckpointPart part, ParameterLayout layout, string folder, IncrementalHash all,
        CancellationToken cancellation)
    {
        using var data = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await using var file = disk.Open(Path.Combine(folder, part.Name), FileMode.CreateNew);
        var head = part.Head(layout);
        if (head.Length > SafetensorsHeader.MostBytes)
        {
            throw new InvalidDataException($"names and shapes take {head.Length:N0} bytes, a safetensors file has room for {SafetensorsHeader.MostBytes:N0}");
        }

        await file.WriteAsync(head, cancellation);
        for (var left = part.DataBytes(layout); left > 0;)
        {
            if (!await chunks.MoveNext(cancellation))
            {
                throw NotWhole();
            }

            if (chunks.Current is { Data.IsEmpty: true, Sha256.IsEmpty: true })
            {
                throw new InvalidDataException("its writer gave it up, as the one before was still being sent, or for want of memory; its log says which");
            }

            if (chunks.Current.Data.IsEmpty || chunks.Current.Data.Length > left)
            {
                throw NotWhole();
            }

            var bytes = chunks.Current.Data;
            all.AppendData(bytes.Span);
            data.AppendData(bytes.Span);
            await file.WriteAsync(bytes.Memory, cancellation);
            left -= bytes.Length;
        }

        Disk.Sync(file);
        return new CheckpointFile(part.Name, head.Length + part.DataBytes(layout), Convert.ToHexStringLower(data.GetHashAndReset()));
    }

    private static InvalidDataException NotWhole() => new("it is cut short, or its SHA-256 is not the writer's");
}
