using System.Security.Cryptography;

namespace DistTrain.Training.Data;

/// <summary>A file whose content is known in advance.</summary>
/// <param name="Name">Its name, on the server and in the folder.</param>
/// <param name="Length">Its length in bytes; not a byte more is taken from the network.</param>
/// <param name="Sha256">SHA-256 of its content, lower-case hexadecimal.</param>
public sealed record PinnedFile(string Name, long Length, string Sha256);

/// <summary>
/// A file could not be downloaded. The message is the second half of a sentence: what failed and why.
/// </summary>
public sealed class DownloadException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>
/// Downloads files so that under a file's name there is either nothing or the whole, verified file, whatever is killed
/// and however many processes do the same at once.
/// </summary>
/// <remarks>
/// Correctness rests on the rename alone: everyone writes a temporary file of his own, verifies it and renames it, and
/// whoever comes second replaces equal bytes. The lock only spares the network: the processes of one host queue, and
/// all but the first find the file there.
/// </remarks>
/// <param name="address">The folder on the server; ends with a slash.</param>
/// <param name="time">The clock of the deadline.</param>
public sealed class PinnedDownload(Uri address, TimeProvider time)
{
    private const int BufferBytes = 1 << 16;
    private static readonly TimeSpan LockPoll = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// How long one file may take, waiting for other processes included. 26 MB in 10 minutes are 0.35 Mbit/s.
    /// </summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// How long a connection may take: a host without network should not make its user wait for minutes.
    /// </summary>
    public TimeSpan ConnectDeadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>Returns once the file is in the folder.</summary>
    /// <param name="file">The file.</param>
    /// <param name="folder">The folder; created where it does not exist.</param>
    /// <param name="cancellation">The caller's own reason to give up.</param>
    /// <exception cref="DownloadException">
    /// It could not be downloaded or written, or is not the pinned file.
    /// </exception>
    public async Task FetchAsync(PinnedFile file, string folder, CancellationToken cancellation)
    {
        var source = new Uri(address, file.Name);
        var target = Path.Combine(folder, file.Name);
        using var late = new CancellationTokenSource(Deadline, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            Directory.CreateDirectory(folder);
            using var turn = await LockAsync(target + ".lock", either.Token);
            if (!File.Exists(target))
            {
                await FetchAsync(source, file, target, either.Token);
            }
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            // The connection's own time limit ends in the same exception as the deadline.
            var limit = late.IsCancellationRequested ? Deadline : ConnectDeadline;
            throw new DownloadException($"{source} could not be downloaded within {limit.TotalSeconds:0} s", e);
        }
        catch (HttpRequestException e)
        {
            throw new DownloadException($"{source} could not be downloaded ({e.Message})", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DownloadException($"{source} could not be downloaded to {target} ({e.Message})", e);
        }
    }

    private async Task FetchAsync(Uri source, PinnedFile file, string target, CancellationToken cancellation)
    {
        var temporary = $"{target}.{Path.GetRandomFileName()}.part";
        try
        {
            using var handler = new SocketsHttpHandler { ConnectTimeout = ConnectDeadline };
            using var client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
            using var response = await client.GetAsync(source, HttpCompletionOption.ResponseHeadersRead, cancellation);
            response.EnsureSuccessStatusCode();
            await using var content = await response.Content.ReadAsStreamAsync(cancellation);
            await using (var output = new FileStream(temporary, FileMode.CreateNew, FileAccess.Write))
            {
                await CopyVerifiedAsync(source, file, content, output, cancellation);
                // On the disk before the name is: else a power cut could leave the name of an empty file.
                output.Flush(flushToDisk: true);
            }

            File.Move(temporary, target, overwrite: true);
        }
        finally
        {
            // Gone already if it was renamed; deleting what does not exist is no error.
            File.Delete(temporary);
        }
    }

    private static async Task CopyVerifiedAsync(
        Uri source, PinnedFile file, Stream content, FileStream output, CancellationToken cancellation)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[BufferBytes];
        var length = 0L;
        int read;
        while ((read = await content.ReadAsync(buffer, cancellation)) > 0)
        {
            length += read;
            if (length > file.Length)
            {
                throw new DownloadException($"{source} is longer than the {file.Length} bytes it should have");
            }

            hash.AppendData(buffer, 0, read);
            await output.WriteAsync(buffer.AsMemory(0, read), cancellation);
        }

        var sha256 = Convert.ToHexStringLower(hash.GetHashAndReset());
        if (sha256 != file.Sha256)
        {
            throw new DownloadException($"{source} is not the file it should be ({length} bytes with SHA-256 {sha256})");
        }
    }

    /// <summary>
    /// Waits until no other process of this host downloads the same file. The system frees the lock of a process that
    /// dies; the empty lock file stays, since removing it would let two processes hold two locks of one name.
    /// </summary>
    private async Task<FileStream> LockAsync(string path, CancellationToken cancellation)
    {
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (File.Exists(path))
            {
                await Task.Delay(LockPoll, time, cancellation);
            }
        }
    }
}
