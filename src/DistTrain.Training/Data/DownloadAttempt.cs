using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;

namespace DistTrain.Training.Data;

/// <summary>One request for a file, or for what is missing of it.</summary>
internal sealed class DownloadAttempt(Uri source, PinnedFile file, HttpClient client, PartFile part, TimeProvider time)
{
    private const int BufferBytes = 1 << 16;

    /// <summary>In what steps room is asked for where nobody knows how much it will be.</summary>
    private const long RoomStep = 64 << 20;

    private readonly byte[] _buffer = new byte[BufferBytes];
    private long _room;

    /// <summary>How long the server may send nothing.</summary>
    public required TimeSpan Silence { get; init; }

    /// <summary>Most bytes of the file.</summary>
    public required long LongestFile { get; init; }

    /// <summary>Told how many bytes it is going to take.</summary>
    public required Func<long, CancellationToken, Task> MakeRoom { get; init; }

    /// <summary>Tells people.</summary>
    public required TransferProgress Progress { get; init; }

    /// <summary>Returns when the part is the whole, verified file.</summary>
    /// <exception cref="WrongContentException">It is another file.</exception>
    /// <exception cref="HttpRequestException">The server answered otherwise, or not.</exception>
    public async Task RunAsync(CancellationToken cancellation)
    {
        // First: to read what is there takes as long as the disk needs, and no server waits for that.
        using var hash = await HashAsync(cancellation);
        using var silent = new CancellationTokenSource(Silence, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(silent.Token, cancellation);
        using var response = await client.SendAsync(Request(), HttpCompletionOption.ResponseHeadersRead, either.Token);
        if (response.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable && part.Length > 0)
        {
            // All of it may be there already: its hash says so, or that it is something else.
            Verify(hash);
            return;
        }

        response.EnsureSuccessStatusCode();
        if (!GoesOn(response))
        {
            part.Clear();
            hash.GetHashAndReset();
            part.Version = VersionOf(response);
        }

        await ExpectAsync(response.Content.Headers.ContentLength is { } length ? part.Length + length : null, cancellation);
        Progress.StartAt(part.Length);
        await using var content = await response.Content.ReadAsStreamAsync(either.Token);
        while (true)
        {
            silent.CancelAfter(Silence);
            var read = await ReadAsync(content, either.Token);
            if (read == 0)
            {
                break;
            }

            if (part.Length + read > LongestFile)
            {
                throw new WrongContentException(file.Length is { } pinned
                    ? $"{Name} is longer than the {pinned} bytes it should have"
                    : $"{Name} is longer than {LongestFile:N0} bytes, more than there may be");
            }

            await ReserveAsync(part.Length + read, cancellation);
            hash.AppendData(_buffer, 0, read);
            await part.AppendAsync(_buffer.AsMemory(0, read), cancellation);
            Progress.Add(read);
        }

        Verify(hash);
    }

    private string Name => PinnedDownload.NameOf(source);

    private HttpRequestMessage Request()
    {
        var request = new HttpRequestMessage(HttpMethod.Get, source);
        if (part.Length > 0)
        {
            // Without a version the hash alone decides whether the rest belongs to the beginning.
            request.Headers.Range = new RangeHeaderValue(part.Length, null);
            if (part.Version is { } version && RangeConditionHeaderValue.TryParse(version, out var condition))
            {
                request.Headers.IfRange = condition;
            }
        }

        return request;
    }

    /// <summary>Reads from the network; what breaks there is told apart from a disk that fails.</summary>
    private async Task<int> ReadAsync(Stream content, CancellationToken cancellation)
    {
        try
        {
            return await content.ReadAsync(_buffer, cancellation);
        }
        catch (IOException e)
        {
            throw new HttpRequestException(HttpRequestError.ResponseEnded, e.Message, e);
        }
    }

    /// <summary>Whether an answer is what is missing, and not the whole file again, as from a server that knows no ranges or has another version.</summary>
    private bool GoesOn(HttpResponseMessage response)
    {
        if (response.StatusCode != HttpStatusCode.PartialContent)
        {
            return false;
        }

        var asked = part.Length;
        if (response.Content.Headers.ContentRange?.From != asked)
        {
            part.Clear();
            throw new HttpRequestException($"the server was asked for the bytes from {asked} on and sent others", null, HttpStatusCode.BadGateway);
        }

        return true;
    }

    /// <summary>A strong tag, else a date; If-Range takes no weak tags.</summary>
    private static string? VersionOf(HttpResponseMessage response) =>
        response.Headers.ETag is { IsWeak: false } tag ? tag.ToString()
        : response.Content.Headers.LastModified is { } date ? new RangeConditionHeaderValue(date).ToString()
        : null;

    private async Task ExpectAsync(long? length, CancellationToken cancellation)
    {
        if (length > LongestFile && file.Length is null)
        {
            throw new WrongContentException($"{Name} is {length:N0} bytes long, more than the {LongestFile:N0} there may be");
        }

        if (length is { } known)
        {
            Progress.Total ??= known;
            await ReserveAsync(known, cancellation);
        }
    }

    private async Task ReserveAsync(long bytes, CancellationToken cancellation)
    {
        if (bytes > _room)
        {
            _room = _room == 0 ? bytes : Math.Min(bytes + RoomStep, LongestFile);
            await MakeRoom(_room, cancellation);
        }
    }

    private async Task<IncrementalHash> HashAsync(CancellationToken cancellation)
    {
        var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        await foreach (var piece in part.ReadAsync(_buffer, cancellation))
        {
            hash.AppendData(piece.Span);
        }

        return hash;
    }

    private void Verify(IncrementalHash hash)
    {
        var sha256 = Convert.ToHexStringLower(hash.GetHashAndReset());
        if (sha256 != file.Sha256)
        {
            throw new WrongContentException($"{Name} is not the file it should be ({part.Length} bytes with SHA-256 {sha256} instead of {file.Sha256})");
        }
    }
}
