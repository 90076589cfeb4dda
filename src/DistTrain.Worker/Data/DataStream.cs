using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Protocol.V1;
using DistTrain.Training.Data;
using Grpc.Core;

namespace DistTrain.Worker.Data;

/// <summary>
/// Gets a run's data from its coordinator into this host's cache, file by file, each hashed before it has its name. What has arrived is kept, whatever breaks: the next session,
/// with this coordinator or its successor, goes on from there.
/// </summary>
/// <param name="client">The coordinator, over a connection of its own: the control's must not wait behind data.</param>
/// <param name="tag">The run and the coordinator's term.</param>
/// <param name="worker">The own id.</param>
/// <param name="host">This host.</param>
internal sealed class DataStream(Protocol.V1.Coordinator.CoordinatorClient client, (ulong Run, ulong Term) tag, int worker, DataHost host)
{
    /// <summary>How often in a row the coordinator may be asked in vain.</summary>
    private const int MaxFailures = 6;

    private static readonly TimeSpan FirstPause = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(4);

    /// <summary>How long the coordinator may send nothing; while it makes its list it sends a word every five seconds.</summary>
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(30);

    /// <summary>How long all of it may take, waiting for a place included.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromHours(6);

    private static readonly TimeSpan Notice = TimeSpan.FromSeconds(5);

    /// <summary>Returns when the data are there.</summary>
    /// <param name="run">The run's configuration.</param>
    /// <param name="cancellation">The session's end.</param>
    /// <exception cref="WorkerException">The coordinator cannot give them.</exception>
    public async Task<HeldData> TakeAsync(RunOptions run, CancellationToken cancellation)
    {
        using var late = new CancellationTokenSource(Deadline, host.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(late.Token, cancellation);
        try
        {
            var manifest = await ListAsync(either.Token);
            var cache = new DataCache(host, DataLocation.Read(run.Data).Location);
            var entry = await cache.OpenAsync(manifest.Fingerprint, either.Token);
            try
            {
                await FillAsync(entry, manifest, either.Token);
                return new HeldData(run, entry.Root(manifest), entry);
            }
            catch (Exception e)
            {
                entry.Dispose();
                throw e is IOException or UnauthorizedAccessException ? cache.Unusable(e) : e;
            }
        }
        catch (OperationCanceledException e) when (!cancellation.IsCancellationRequested)
        {
            throw new WorkerException($"The run's data were not here after {Duration.Format(Deadline)}: put them on a volume and set data.path, or start the worker again to go on.", e);
        }
    }

    private async Task FillAsync(CacheEntry entry, DataManifest manifest, CancellationToken cancellation)
    {
        await entry.ReserveAsync(manifest.Bytes, cancellation);
        var missing = await entry.FindMissingAsync(manifest, cancellation);
        if (missing.Count > 0)
        {
            using var transfer = new DataTransfer(entry, manifest, missing, host);
            await PersistAsync(() => transfer.HasEnded, () => transfer.Bytes, (heard, ending) => ReceiveAsync(transfer, heard, ending), cancellation);
            entry.Complete(manifest);
        }

        entry.Share();
    }

    private async Task ReceiveAsync(DataTransfer transfer, Action heard, CancellationToken cancellation)
    {
        // Given up in the middle, it gives its place back at once.
        using var call = client.GetData(transfer.Request(tag, worker), cancellationToken: cancellation);
        await transfer.ReceiveAsync(call.ResponseStream, heard, cancellation);
    }

    private async Task<DataManifest> ListAsync(CancellationToken cancellation)
    {
        DataManifest? manifest = null;
        await PersistAsync(() => manifest is not null, () => 0, async (heard, ending) => manifest = await ListOnceAsync(heard, ending), cancellation);
        return manifest!;
    }

    private async Task<DataManifest> ListOnceAsync(Action heard, CancellationToken cancellation)
    {
        using var call = client.ListData(new DataListRequest { Run = tag.Run, Term = tag.Term, Worker = worker }, cancellationToken: cancellation);
        var (files, isSingleFile, fingerprint) = (new List<DataFileEntry>(), false, "");
        await foreach (var part in call.ResponseStream.ReadAllAsync(cancellation))
        {
            heard();
            if (part.Sentence.Length > 0)
            {
                host.Say(part.Sentence);
            }

            files.AddRange(part.Files.Select(f => new DataFileEntry(f.Name, f.Bytes, f.Sha256)));
            (isSingleFile, fingerprint) = (part.IsSingleFile, part.Fingerprint);
            if (files.Count > DataFiles.MostFiles)
            {
                break;
            }
        }

        try
        {
            var manifest = new DataManifest(isSingleFile, files);
            return manifest.Fingerprint == fingerprint ? manifest : throw new FormatException("its fingerprint is another");
        }
        catch (FormatException e)
        {
            throw new WorkerException($"The coordinator's list of the data cannot be used: {e.Message}. Install the same version on both.", e);
        }
    }

    /// <summary>Makes one call after the other until all is done, with ever longer pauses between calls in vain.</summary>
    /// <param name="isDone">Whether all is done.</param>
    /// <param name="progress">How much is done.</param>
    /// <param name="call">A call; it says whenever it has heard something.</param>
    /// <param name="cancellation">Ends it.</param>
    private async Task PersistAsync(Func<bool> isDone, Func<long> progress, Func<Action, CancellationToken, Task> call, CancellationToken cancellation)
    {
        var (failures, pause, refused) = (0, FirstPause, 0L);
        while (!isDone())
        {
            var before = progress();
            try
            {
                using var silent = new CancellationTokenSource(Silence, host.Time);
                using var either = CancellationTokenSource.CreateLinkedTokenSource(silent.Token, cancellation);
                await call(() => silent.CancelAfter(Silence), either.Token);
                (failures, pause, refused) = (0, FirstPause, 0);
                continue;
            }
            catch (RpcException e) when (e.StatusCode == StatusCode.ResourceExhausted && !cancellation.IsCancellationRequested)
            {
                // Others are served; that is no failure, and ends with the deadline.
                refused = refused == 0 ? host.Time.GetTimestamp() : refused;
                if (refused > 0 && host.Time.GetElapsedTime(refused) > Notice)
                {
                    host.Say("Other workers get the data now; waiting for a place.");
                    refused = -1;
                }
            }
            catch (RpcException e) when (e.StatusCode is StatusCode.NotFound or StatusCode.InvalidArgument or StatusCode.DataLoss or StatusCode.Unimplemented)
            {
                // Not one of another term: that coordinator has been replaced, which the session is about to notice.
                throw new WorkerException(e.Status.Detail, e);
            }
            catch (Exception e) when (e is RpcException or OperationCanceledException && !cancellation.IsCancellationRequested)
            {
                failures = progress() > before ? 1 : failures + 1;
                if (failures >= MaxFailures)
                {
                    var reason = e is RpcException { Status.Detail: { Length: > 0 } detail } ? detail : $"it sent nothing for {Duration.Format(Silence)}";
                    throw new WorkerException($"The coordinator did not send the run's data after {failures} attempts ({reason}): see that it runs and is reached, and start the worker again.", e);
                }
            }

            cancellation.ThrowIfCancellationRequested();

            // Workers that were refused together must not come back together.
            await Task.Delay(pause * (1 + (worker % 7 / 7.0)), host.Time, cancellation);
            pause = TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, LongestPause.Ticks));
        }
    }
}
