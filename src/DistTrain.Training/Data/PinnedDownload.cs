using System.Net;

namespace DistTrain.Training.Data;

/// <summary>A file whose content is known in advance.</summary>
/// <param name="Name">Its name, on the server and in the folder.</param>
/// <param name="Length">Its length in bytes, of which not one more is taken from the network; null where only the hash is known.</param>
/// <param name="Sha256">SHA-256 of its content, lower-case hexadecimal.</param>
public sealed record PinnedFile(string Name, long? Length, string Sha256);

/// <summary>
/// A file could not be downloaded. The message is the second half of a sentence: what failed and why.
/// </summary>
public class DownloadException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>A server gave another file than the pinned one.</summary>
public sealed class WrongContentException(string message) : DownloadException(message);

/// <summary>
/// Downloads files so that under a file's name there is either nothing or the whole, verified file, whatever is killed
/// and however many processes do the same at once. What of a file has arrived is kept as <c>NAME.part</c>, and gone on with by whoever comes next.
/// </summary>
/// <remarks>
/// Correctness rests on the hash and the rename alone: what is renamed is what was verified. The lock spares the network: the processes of one host queue,
/// and all but the first find the file there.
/// </remarks>
/// <param name="address">The folder on the server; ends with a slash.</param>
/// <param name="time">The clock of the deadlines.</param>
public sealed class PinnedDownload(Uri address, TimeProvider time)
{
    private const int MostRedirections = 10;
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(8);

    /// <summary>
    /// How long one file may take, waiting for other processes included. 26 MB in 10 minutes are 0.35 Mbit/s.
    /// </summary>
    public TimeSpan Deadline { get; init; } = TimeSpan.FromMinutes(10);

    /// <summary>
    /// How long a connection may take: a host without network should not make its user wait for minutes.
    /// </summary>
    public TimeSpan ConnectDeadline { get; init; } = TimeSpan.FromSeconds(10);

    /// <summary>How long a server may send nothing before the connection is given up.</summary>
    public TimeSpan Silence { get; init; } = TimeSpan.FromSeconds(30);

    /// <summary>How often in a row a server may be asked in vain; one that gives some bytes every time is asked until the deadline.</summary>
    public int Attempts { get; init; } = 4;

    /// <summary>How long is waited before the second attempt; doubled every time, up to eight seconds.</summary>
    internal TimeSpan FirstPause { get; init; } = TimeSpan.FromMilliseconds(500);

    /// <summary>Most bytes of a file whose length is not known.</summary>
    public long LongestFile { get; init; } = long.MaxValue;

    /// <summary>Told how many bytes a file is going to take, and again where it takes more. It may throw.</summary>
    internal Func<long, CancellationToken, Task> MakeRoom { get; init; } = (_, _) => Task.CompletedTask;

    /// <summary>Is given sentences on a download that takes its time.</summary>
    public Action<string> Say { get; init; } = _ => { };

    /// <summary>Returns once the file is in the folder.</summary>
    /// <param name="file">The file; it lies under its name at the address.</param>
    /// <param name="folder">The folder; created where it does not exist.</param>
    /// <param name="cancellation">The caller's own reason to give up.</param>
    /// <exception cref="DownloadException">
    /// It could not be downloaded or written, or is not the pinned file.
    /// </exception>
    public Task FetchAsync(PinnedFile file, string folder, CancellationToken cancellation) =>
        FetchAsync(new Uri(address, file.Name), file, folder, cancellation);

    /// <summary>The same of a file that has another name on the server than in the folder.</summary>
    internal async Task FetchAsync(Uri source, PinnedFile file, string folder, CancellationToken cancellation)
    {
        var target = Path.Combine(folder, file.Name);
        using var late = new CancellationTokenSource(Deadline, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            Directory.CreateDirectory(folder);
            using var turn = await FileLock.TakeAsync(target + ".lock", isShared: false, time, either.Token);
            if (!File.Exists(target))
            {
                await TryAsync(source, file, target, either.Token);
            }
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new DownloadException($"{NameOf(source)} could not be downloaded within {Deadline.TotalSeconds:0} s", e);
        }
        catch (Exception e) when (e is HttpRequestException or UriFormatException)
        {
            // A server may redirect to what is no address of the web.
            throw new DownloadException($"{NameOf(source)} could not be downloaded ({e.Message})", e);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DownloadException($"{NameOf(source)} could not be downloaded to {target} ({e.Message})", e);
        }
    }

    /// <summary>Attempts, each going on where the last one ended.</summary>
    private async Task TryAsync(Uri source, PinnedFile file, string target, CancellationToken cancellation)
    {
        using var handler = new SocketsHttpHandler { ConnectTimeout = ConnectDeadline, MaxAutomaticRedirections = MostRedirections };
        using var client = new HttpClient(handler) { Timeout = Timeout.InfiniteTimeSpan };
        var progress = new TransferProgress($"Downloading {NameOf(source)}", file.Length, time, Say);
        await using var part = new PartFile(target + ".part");
        var pause = FirstPause;
        for (var failures = 0; ;)
        {
            var before = part.Length;
            var attempt = new DownloadAttempt(source, file, client, part, time)
            {
                Silence = Silence,
                LongestFile = Math.Min(LongestFile, file.Length ?? long.MaxValue),
                MakeRoom = MakeRoom,
                Progress = progress,
            };
            try
            {
                await attempt.RunAsync(cancellation);
                part.MoveTo(target);
                progress.End();
                return;
            }
            catch (WrongContentException)
            {
                // Of one that was gone on with, the beginning may have been of another version, or was damaged since: once more from the start.
                part.Clear();
                if (before == 0)
                {
                    throw;
                }
            }
            catch (Exception e) when (IsPassing(e, cancellation))
            {
                (failures, pause) = part.Length > before ? (1, FirstPause) : (failures + 1, pause);
                if (failures >= Attempts)
                {
                    throw e is HttpRequestException ? e : new HttpRequestException($"no answer, or nothing more of it, for {Longest(Silence, ConnectDeadline).TotalSeconds:0} s", e);
                }
            }

            await Task.Delay(pause, time, cancellation);
            pause = TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, LongestPause.Ticks));
        }
    }

    /// <summary>An address for people, without the query: what grants access may stand there.</summary>
    internal static string NameOf(Uri source) => source.GetLeftPart(UriPartial.Path);

    private static TimeSpan Longest(TimeSpan left, TimeSpan right) => left > right ? left : right;

    /// <summary>Whether it may go better the next time: a broken or silent connection, a server that is busy; not a name or a file that it does not know.</summary>
    private static bool IsPassing(Exception e, CancellationToken cancellation) => e switch
    {
        OperationCanceledException => !cancellation.IsCancellationRequested,
        HttpRequestException { StatusCode: { } status } => status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests || (int)status >= 500,
        HttpRequestException { HttpRequestError: HttpRequestError.NameResolutionError or HttpRequestError.SecureConnectionError } => false,
        HttpRequestException => true,
        _ => false,
    };
}
