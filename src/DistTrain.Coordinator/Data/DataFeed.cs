using System.Security.Cryptography;
using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Coordinator.Data;

/// <summary>
/// Gives the run's data to workers that have none: a list of the files, and their bytes. What is not on the list cannot be asked for. The list is made from the coordinator's own
/// copy, in the background, as soon as the coordinator starts.
/// </summary>
/// <remarks>
/// Control must not wait for data: few streams at a time, each with one chunk in memory, and each over a connection of its own, which is the worker's part. Who finds no
/// place is sent away and tries again; who has had its share gives its place up.
/// </remarks>
internal sealed class DataFeed : IAsyncDisposable
{
    /// <summary>Most streams at a time. A few fill a network; more would only share it.</summary>
    public const int Places = 4;

    private const int ChunkBytes = 1 << 18;
    private const int PieceBytes = 1 << 20;
    private const int FilesPerMessage = 256;

    /// <summary>How much one stream carries before its place goes to whoever asks next.</summary>
    private const long ShareBytes = 256 << 20;

    private static readonly TimeSpan Word = TimeSpan.FromSeconds(5);

    /// <summary>How long a worker may take none of what it asked for.</summary>
    private static readonly TimeSpan Stall = TimeSpan.FromSeconds(30);

    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _ended = new();
    private readonly SemaphoreSlim _places = new(Places);
    private readonly Task<Copy> _copy;
    private volatile string _sentence = "The coordinator looks for its copy of the data.";

    /// <summary>Begins to list the data.</summary>
    /// <param name="find">Finds the coordinator's own copy; is given what to tell people meanwhile.</param>
    /// <param name="time">The clock.</param>
    public DataFeed(Func<Action<string>, CancellationToken, Task<DataFiles>> find, TimeProvider time)
    {
        _time = time;
        _copy = Task.Run(async () => await ListAsync(await find(sentence => _sentence = sentence, _ended.Token)));
    }

    /// <summary>Sends the list, when there is one.</summary>
    public async Task ListAsync(IServerStreamWriter<DataList> responses, CancellationToken cancellation)
    {
        while (await Task.WhenAny(_copy, Task.Delay(Word, _time, cancellation)) != _copy)
        {
            cancellation.ThrowIfCancellationRequested();
            await responses.WriteAsync(new DataList { Sentence = _sentence }, cancellation);
        }

        var manifest = (await CopyAsync()).Manifest;
        var files = manifest.Files.Select(f => new DataFile { Name = f.Name, Bytes = f.Bytes, Sha256 = f.Sha256 }).ToList();
        for (var sent = 0; sent < files.Count; sent += FilesPerMessage)
        {
            var part = new DataList { IsSingleFile = manifest.IsSingleFile, Files = { files.Skip(sent).Take(FilesPerMessage) } };
            part.Fingerprint = sent + FilesPerMessage >= files.Count ? manifest.Fingerprint : "";
            await responses.WriteAsync(part, cancellation);
        }
    }

    /// <summary>Sends files.</summary>
    /// <returns>How many bytes were sent.</returns>
    /// <exception cref="RpcException">
    /// ResourceExhausted: no place is free. NotFound: there are no data, or others than the caller means. DataLoss: the copy has changed.
    /// </exception>
    public async Task<long> SendAsync(DataRequest request, IServerStreamWriter<DataChunk> responses, CancellationToken cancellation)
    {
        var copy = await CopyAsync();
        var files = copy.Manifest.Files;
        if (request.Fingerprint != copy.Manifest.Fingerprint)
        {
            throw Failed(StatusCode.NotFound, "The data are not those that were listed: ask for the list again.");
        }

        if (request.First < 0 || request.First >= request.End || request.End > files.Count || request.Offset < 0 || request.Offset >= Math.Max(1, files[request.First].Bytes))
        {
            throw Failed(StatusCode.InvalidArgument, $"There are {files.Count} files, and no byte {request.Offset} in file {request.First} before file {request.End}.");
        }

        if (!await _places.WaitAsync(TimeSpan.Zero, cancellation))
        {
            throw Failed(StatusCode.ResourceExhausted, $"All {Places} places are taken: try again.");
        }

        try
        {
            var (sent, offset) = (0L, request.Offset);
            for (var file = request.First; file < request.End && sent < ShareBytes; file++, offset = 0)
            {
                sent += await SendAsync(copy, file, offset, ShareBytes - sent, responses, cancellation);
            }

            return sent;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException && !cancellation.IsCancellationRequested)
        {
            throw Failed(StatusCode.DataLoss, $"The coordinator's copy of the data cannot be read: {e.Message.TrimEnd('.')}. Restore it, and start the coordinator again.");
        }
        finally
        {
            _places.Release();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _ended.CancelAsync();
        await ((Task)_copy).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task<long> SendAsync(
        Copy copy, int index, long offset, long most, IServerStreamWriter<DataChunk> responses, CancellationToken cancellation)
    {
        var (entry, path) = (copy.Manifest.Files[index], copy.PathOf(index));
        await using var file = Open(path);
        if (file.Length != entry.Bytes)
        {
            throw new IOException($"{path} has {file.Length:N0} bytes, and had {entry.Bytes:N0} when it was listed");
        }

        var (buffer, sent) = (new byte[ChunkBytes], 0L);
        file.Position = offset;
        while (offset < entry.Bytes && sent < most)
        {
            var count = (int)Math.Min(ChunkBytes, entry.Bytes - offset);
            await file.ReadExactlyAsync(buffer.AsMemory(0, count), cancellation);
            using var stalled = new CancellationTokenSource(Stall, _time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(stalled.Token, cancellation);

            // Written to the connection when this returns, so the buffer may be used again.
            await responses.WriteAsync(
                new DataChunk { File = index, Offset = offset, Data = UnsafeByteOperations.UnsafeWrap(buffer.AsMemory(0, count)) }, either.Token);
            (offset, sent) = (offset + count, sent + count);
        }

        return sent;
    }

    private async Task<Copy> CopyAsync()
    {
        try
        {
            return await _copy;
        }
        catch (Exception e) when (e is not RpcException)
        {
            throw Failed(StatusCode.NotFound, $"The coordinator cannot give out the data. {e.Message}");
        }
    }

    /// <summary>Reads and hashes the whole copy.</summary>
    private async Task<Copy> ListAsync(DataFiles found)
    {
        var names = found.Names ?? [Path.GetFileName(found.Root)];
        string PathOf(string name) => found.Names is null ? found.Root : Path.Combine(found.Root, name);
        var (all, done) = (names.Sum(name => new FileInfo(PathOf(name)).Length), 0L);
        var entries = new List<DataFileEntry>();
        var piece = new byte[PieceBytes];
        foreach (var name in names)
        {
            await using var file = Open(PathOf(name));
            using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
            var bytes = 0L;
            for (int read; (read = await file.ReadAsync(piece, _ended.Token)) > 0; (bytes, done) = (bytes + read, done + read))
            {
                hash.AppendData(piece, 0, read);
                _sentence = $"The coordinator reads its copy of the data, {ByteSize.Format(done)} of {ByteSize.Format(all)}.";
            }

            entries.Add(new DataFileEntry(name, bytes, Convert.ToHexStringLower(hash.GetHashAndReset())));
        }

        try
        {
            return new Copy(new DataManifest(found.Names is null, entries), PathOf);
        }
        catch (FormatException e)
        {
            throw new IOException($"{found.Root} cannot be given out: {e.Message}.", e);
        }
    }

    private static FileStream Open(string path) => new(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0, useAsync: true);

    private static RpcException Failed(StatusCode status, string sentence) => new(new Status(status, sentence));

    private sealed record Copy(DataManifest Manifest, Func<string, string> Find)
    {
        public string PathOf(int index) => Find(Manifest.Files[index].Name);
    }
}
