using System.Security.Cryptography;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>Reads checkpoints back: to see whether they are good, and to send them.</summary>
internal static class CheckpointReader
{
    private const int ChunkBytes = 1 << 18;
    private const int PieceBytes = 1 << 20;

    /// <summary>Opens a checkpoint's folder and checks everything in it. Memory does not grow with what the files claim.</summary>
    /// <exception cref="InvalidDataException">It is damaged or foreign; the message says how, as the end of a sentence.</exception>
    public static PublishedCheckpoint Open(string folder, long step)
    {
        try
        {
            var manifest = CheckpointManifest.ReadFrom(folder);
            if (manifest.Header.Step != step)
            {
                throw new InvalidDataException($"its {CheckpointManifest.Name} is of step {manifest.Header.Step}");
            }

            foreach (var (part, file) in CheckpointPart.Of(manifest.Header).Zip(manifest.Files))
            {
                Check(Path.Combine(folder, part.Name), part, file, manifest);
            }

            return new PublishedCheckpoint(folder, manifest);
        }
        catch (FileNotFoundException e)
        {
            throw new InvalidDataException($"it has no {Path.GetFileName(e.FileName)}", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new InvalidDataException($"it cannot be read ({e.Message.TrimEnd('.')})", e);
        }
    }

    /// <summary>Sends a checkpoint. The hash that ends it goes out only if what was read is what was published.</summary>
    /// <exception cref="RpcException">It has been damaged, or cannot be read.</exception>
    public static async Task SendAsync(PublishedCheckpoint checkpoint, IServerStreamWriter<CheckpointChunk> chunks, CancellationToken cancellation)
    {
        var (header, layout) = (checkpoint.Header, checkpoint.Manifest.Layout);
        var opened = new List<FileStream>();
        try
        {
            // All at once: whoever retires the checkpoint meanwhile does not take away what is open.
            var parts = CheckpointPart.Of(header);
            opened.AddRange(parts.Select(part => Open(Path.Combine(checkpoint.Folder, part.Name))));
            await chunks.WriteAsync(new CheckpointChunk { Header = header }, cancellation);
            using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            for (var i = 0; i < parts.Count; i++)
            {
                opened[i].Position = parts[i].Head(layout).Length;
                var sha256 = await SendAsync(opened[i], parts[i], layout.Count, all, chunks, cancellation);
                if (sha256 != checkpoint.Manifest.Files[i].DataSha256)
                {
                    throw Unreadable("its SHA-256 is not the manifest's any more");
                }
            }

            await chunks.WriteAsync(new CheckpointChunk { Sha256 = ByteString.CopyFrom(all.GetHashAndReset()) }, cancellation);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException && !cancellation.IsCancellationRequested)
        {
            throw Unreadable(e.Message.TrimEnd('.'));
        }
        finally
        {
            opened.ForEach(file => file.Dispose());
        }

        RpcException Unreadable(string why) => new(new Status(
            StatusCode.DataLoss, $"Checkpoint {header.Step} in {checkpoint.Folder} cannot be used: {why}. Start the run again from another one."));
    }

    private static async Task<string> SendAsync(
        FileStream file, CheckpointPart part, long elements, IncrementalHash all, IServerStreamWriter<CheckpointChunk> chunks, CancellationToken cancellation)
    {
        using var data = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[ChunkBytes];
        for (var vector = part.FirstVector; vector < part.FirstVector + part.Prefixes.Count; vector++)
        {
            for (var offset = 0L; offset < elements;)
            {
                var bytes = (int)Math.Min(ChunkBytes, (elements - offset) * sizeof(float));
                await file.ReadExactlyAsync(buffer.AsMemory(0, bytes), cancellation);
                all.AppendData(buffer, 0, bytes);
                data.AppendData(buffer, 0, bytes);
                await chunks.WriteAsync(
                    new CheckpointChunk { Vector = (uint)vector, Offset = offset, Data = ByteString.CopyFrom(buffer, 0, bytes) }, cancellation);
                offset += bytes / sizeof(float);
            }
        }

        return Convert.ToHexStringLower(data.GetHashAndReset());
    }

    private static void Check(string path, CheckpointPart part, CheckpointFile listed, CheckpointManifest manifest)
    {
        using var file = Open(path);
        var head = part.Head(manifest.Layout);
        var bytes = head.Length + part.DataBytes(manifest.Layout);
        if (listed.Bytes != bytes)
        {
            throw new InvalidDataException($"its {CheckpointManifest.Name} gives {part.Name} {listed.Bytes:N0} bytes, tensors of these shapes take {bytes:N0}");
        }

        if (file.Length != bytes)
        {
            throw new InvalidDataException($"{part.Name} {(file.Length < bytes ? "is cut short" : "is too long")}: it has {file.Length:N0} of {bytes:N0} bytes");
        }

        var found = new byte[head.Length];
        file.ReadExactly(found);
        if (!found.AsSpan().SequenceEqual(head))
        {
            throw new InvalidDataException($"{part.Name} has tensors of other names or shapes than its {CheckpointManifest.Name}, or a damaged head");
        }

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var piece = new byte[PieceBytes];
        for (int read; (read = file.Read(piece)) > 0;)
        {
            hash.AppendData(piece, 0, read);
        }

        if (!Convert.ToHexStringLower(hash.GetHashAndReset()).Equals(listed.DataSha256, StringComparison.OrdinalIgnoreCase))
        {
            throw new InvalidDataException($"the SHA-256 of {part.Name} is not the one in its {CheckpointManifest.Name}");
        }
    }

    private static FileStream Open(string path) => new(path, FileMode.Open, FileAccess.Read, FileShare.Read | FileShare.Delete, bufferSize: 0);
}
