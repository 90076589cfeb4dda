using System.Net;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Coordinator.Data;
using DistTrain.Coordinator.Health;
using DistTrain.Core;
using DistTrain.Core.Data;
using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Protocol.Faults;
using DistTrain.Protocol.Hosting;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Coordinator;

/// <summary>What a coordinator is started with.</summary>
public sealed record CoordinatorSettings
{
    /// <summary>The run's configuration, valid.</summary>
    public required RunOptions Options { get; init; }

    /// <summary>The run's folder, of no other run; created where it is not there.</summary>
    public required string Folder { get; init; }

    /// <summary>Whether a run that the folder holds is gone on with; without it, such a folder is refused.</summary>
    public bool Resume { get; init; }

    /// <summary>The step of the checkpoint to go back to where no worker holds a newer state; null for the newest.</summary>
    public long? Checkpoint { get; init; }

    /// <summary>Address and port to listen on; port 0 lets the system choose.</summary>
    public required string Listen { get; init; }

    /// <summary>The least that is logged. Whoever watches the run is told what happens anyway.</summary>
    public LogLevel MinimumLog { get; init; } = LogLevel.Information;

    /// <summary>Called once with the address workers reach, such as <c>http://127.0.0.1:5400</c>.</summary>
    public Action<string> OnListening { get; init; } = _ => { };

    /// <summary>What is done to this coordinator on purpose; null for nothing.</summary>
    public FaultInjector? Faults { get; init; }

    /// <summary>
    /// Finds the run's data on this host, to be given to workers; is told how to say what it does meanwhile. Null where workers have the data, or get them themselves.
    /// </summary>
    public Func<Action<string>, CancellationToken, Task<DataFiles>>? Data { get; init; }

    /// <summary>Where the log goes; null for the console.</summary>
    public ILoggerProvider? Log { get; init; }

    /// <summary>Where it notes how it is, and how the run stands; null for nowhere that anybody looks.</summary>
    public CoordinatorVitals? Vitals { get; init; }

    /// <summary>Where the run's files are written.</summary>
    internal IDisk Disk { get; init; } = Coordinator.Disk.Instance;
}

/// <summary>Runs a coordinator from start to end.</summary>
public static class CoordinatorHost
{
    /// <summary>Where the journal of the run in a folder lies.</summary>
    public static string JournalIn(string folder) => Journal.PathIn(folder);

    /// <summary>Whether a folder holds a run that a coordinator has begun.</summary>
    public static bool HoldsRun(string folder) => File.Exists(Journal.PathIn(folder));

    /// <summary>Whether a coordinator owns the run in a folder at this moment.</summary>
    public static bool IsOwned(string folder) => Journal.IsOwned(folder);

    /// <summary>Returns when the run is finished, has failed, or is cancelled.</summary>
    public static async Task<RunOutcome> RunAsync(CoordinatorSettings settings, TimeProvider time, CancellationToken cancellation)
    {
        using var limit = Disk.OutliveFileSizeLimit();
        if (settings.Faults is { } injector)
        {
            settings = settings with { Disk = new FaultyDisk(settings.Disk, injector) };
        }

        try
        {
            // The folder is begun only when the address is ours; a worker that calls in between waits for the loop.
            var ready = new TaskCompletionSource<CoordinatorLoop>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var data = settings.Data is { } find ? new DataFeed(find, time) : null;
            await using var server = GrpcListener.Create(
                settings.Listen, services => services.AddSingleton(new CoordinatorService(ready.Task, data)), settings.MinimumLog, settings.Log);
            server.MapGrpcService<CoordinatorService>();
            var bound = await GrpcListener.StartAsync(server, settings.Listen, cancellation);
            using (var run = Open(settings, time, ready))
            {
                if (run.Ended is { } ended)
                {
                    ready.SetException(Unavailable(ended.Sentence));
                    return ended;
                }

                var logger = server.Services.GetRequiredService<ILogger<CoordinatorLoop>>();
                var vitals = settings.Vitals ?? new CoordinatorVitals(time);
                var before = run.Lines.Steps.LastOrDefault()?.Step ?? 0;
                var loop = new CoordinatorLoop(settings.Options, run, vitals, time, logger)
                {
                    Faults = settings.Faults is { } faults ? new CoordinatorFaults(faults) : null,
                };
                ready.SetResult(loop);
                var reached = bound.Address.Equals(IPAddress.Any) || bound.Address.Equals(IPAddress.IPv6Any) ? Dns.GetHostName() : bound.Address.ToString();
                settings.OnListening(new UriBuilder(Uri.UriSchemeHttp, reached, bound.Port).Uri.ToString().TrimEnd('/'));
                try
                {
                    var outcome = await loop.RunAsync(cancellation);
                    await loop.Workers.DrainAsync(loop.Timeouts.LastWords, time);
                    return outcome with { IsFinal = RepeatedFailure.IsOne(run.Journal.Entries, outcome, hasAdvanced: vitals.Totals.Step?.Step > before) };
                }
                finally
                {
                    // The end of the watchers' streams is on its way; the server waits for it, not for ever.
                    using var deadline = new CancellationTokenSource(loop.Timeouts.LastWords, time);
                    await server.StopAsync(deadline.Token);
                }
            }
        }
        catch (Exception e) when (e is AddressException or JournalException or ResumeException)
        {
            return new RunOutcome(false, e.Message) { IsFinal = e is ResumeException or JournalException { IsDamage: true } };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new RunOutcome(false, $"The run's folder {settings.Folder} cannot be written: {e.Message}");
        }
    }

    private static OpenedRun Open(CoordinatorSettings settings, TimeProvider time, TaskCompletionSource<CoordinatorLoop> ready)
    {
        try
        {
            return OpenedRun.Open(settings, time);
        }
        catch (Exception e)
        {
            // Whoever has called in already is not left waiting: the server could not stop before it is gone.
            ready.SetException(Unavailable(e.Message));
            throw;
        }
    }

    private static RpcException Unavailable(string why) => new(new Status(StatusCode.Unavailable, $"The run cannot begin: {why}"));
}
