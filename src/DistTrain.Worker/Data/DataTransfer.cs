using System.Security.Cryptography;
using DistTrain.Core.Data;
using DistTrain.Protocol.V1;
using DistTrain.Training.Data;
using Grpc.Core;

namespace DistTrain.Worker.Data;

/// <summary>Writes the files that are missing in the cache as they arrive, one after the other, and knows what to ask for next.</summary>
/// <param name="entry">Where they go.</param>
/// <param name="manifest">All files of the data.</param>
/// <param name="missing">The places of those that are missing, ascending; at least one.</param>
/// <param name="host">The clock, and whom to tell.</param>
internal sealed class DataTransfer(CacheEntry entry, DataManifest manifest, IReadOnlyList<int> missing, DataHost host) : IDisposable
{
    private readonly TransferProgress _progress = new(
        "Getting the data from the coordinator", missing.Sum(i => manifest.Files[i].Bytes), host.Time, host.Say);

    // Of the next file as far as it is there: a call brings a share of it, and the next must not read it all again.
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private long _hashed;
    private int _next;
    private long _whole;
    private bool _wasWrong;

    /// <summary>Whether every file is there.</summary>
    public bool HasEnded => _next == missing.Count;

    /// <summary>How many bytes have come.</summary>
    public long Bytes { get; private set; }

    private DataFileEntry File => manifest.Files[missing[_next]];

    private string PartPath => Path.Combine(entry.Parts, $"{missing[_next]}");

    /// <summary>Asks for what is missing of the next file, and for all that follow it without a gap.</summary>
    public DataRequest Request((ulong Run, ulong Term) tag, int worker)
    {
        var last = _next;
        while (last + 1 < missing.Count && missing[last + 1] == missing[last] + 1)
        {
            last++;
        }

        var part = new FileInfo(PartPath);
        if (part.Exists && part.Length >= File.Bytes)
        {
            // A whole part would have its name by now.
            part.Delete();
            part.Refresh();
        }

        return new DataRequest
        {
            Run = tag.Run,
            Term = tag.Term,
            Worker = worker,
            Fingerprint = manifest.Fingerprint,
            First = missing[_next],
            End = missing[last] + 1,
            Offset = part.Exists ? part.Length : 0,
        };
    }

    /// <summary>Takes what a call brings, which may end early.</summary>
    /// <param name="chunks">The call.</param>
    /// <param name="heard">To be told of every chunk.</param>
    /// <param name="cancellation">Ends it.</param>
    /// <exception cref="WorkerException">What came is not what was asked for.</exception>
    public async Task ReceiveAsync(IAsyncStreamReader<DataChunk> chunks, Action heard, CancellationToken cancellation)
    {
        var hasMore = await chunks.MoveNext(cancellation);
        while (hasMore)
        {
            hasMore = await ReceiveFileAsync(chunks, heard, cancellation);
        }

        if (HasEnded)
        {
            _progress.End();
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _hash.Dispose();

    /// <summary>Takes the rest of one file.</summary>
    /// <returns>Whether there is a chunk that belongs to the next one.</returns>
    private async Task<bool> ReceiveFileAsync(IAsyncStreamReader<DataChunk> chunks, Action heard, CancellationToken cancellation)
    {
        if (HasEnded)
        {
            throw new WorkerException($"The coordinator sent file {chunks.Current.File}, for which it was not asked: install the same version on both.");
        }

        var (file, path, hasMore) = (File, PartPath, true);
        string sha256;
        await using (var part = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0))
        {
            await HashAsync(part, heard, cancellation);
            _progress.StartAt(_whole + part.Length);
            while (hasMore && part.Length < file.Bytes)
            {
                heard();
                var chunk = chunks.Current;
                if (chunk.File != missing[_next] || chunk.Offset != part.Length || chunk.Data.Length > file.Bytes - part.Length)
                {
                    throw new WorkerException(
                        $"The coordinator sent byte {chunk.Offset} of file {chunk.File} where byte {part.Length} of file {missing[_next]} follows: install the same version on both.");
                }

                await part.WriteAsync(chunk.Data.Memory, cancellation);
                Hash(chunk.Data.Span);
                Bytes += chunk.Data.Length;
                _progress.Add(chunk.Data.Length);
                hasMore = await chunks.MoveNext(cancellation);
            }

            if (part.Length < file.Bytes)
            {
                return false;
            }

            sha256 = Restart();
        }

        Take(path, file, sha256);
        return hasMore && !HasEnded;
    }

    /// <summary>Gives a whole file its name, if it is the one that was listed.</summary>
    private void Take(string path, DataFileEntry file, string sha256)
    {
        if (sha256 == file.Sha256)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(entry.At(file.Name))!);
            System.IO.File.Move(path, entry.At(file.Name), overwrite: true);
            (_next, _whole, _wasWrong) = (_next + 1, _whole + file.Bytes, false);
            return;
        }

        System.IO.File.Delete(path);
        var sentence = $"The coordinator sent {DataName.Show(file.Name)} with SHA-256 {sha256} instead of {file.Sha256}";
        if (_wasWrong)
        {
            throw new WorkerException($"{sentence}, twice: its copy has changed since it was listed. Leave the data alone while a run gives them out, and start the coordinator again.");
        }

        // What came in another session may have been damaged since; from the start then, once.
        _wasWrong = true;
        throw new RpcException(new Status(StatusCode.Aborted, sentence));
    }

    /// <summary>Hashes what is there and is not hashed yet, such as what another session has left. The coordinator, which waits meanwhile, is not silent.</summary>
    private async Task HashAsync(FileStream part, Action heard, CancellationToken cancellation)
    {
        if (_hashed > part.Length)
        {
            Restart();
        }

        part.Position = _hashed;
        var piece = new byte[_hashed == part.Length ? 0 : 1 << 20];
        for (int read; (read = await part.ReadAsync(piece, cancellation)) > 0;)
        {
            Hash(piece.AsSpan(0, read));
            heard();
        }
    }

    private void Hash(ReadOnlySpan<byte> bytes)
    {
        _hash.AppendData(bytes);
        _hashed += bytes.Length;
    }

    /// <summary>Begins with another file, or with this one anew.</summary>
    /// <returns>The hash of what there was.</returns>
    private string Restart()
    {
        _hashed = 0;
        return Convert.ToHexStringLower(_hash.GetHashAndReset());
    }
}
