using DistTrain.Core;
using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using DistTrain.Worker.Data;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <summary>
/// A worker from its first hello to its end: one session after the other. One that was lost to the others gets the state anew in the next; one that lost the coordinator
/// brings along what it has. One that stays takes part in whatever run comes next.
/// </summary>
internal sealed partial class WorkerLife(
    Func<WorkerHello> hello, WorkerSettings settings, WorkerServices services, TimeProvider time, ILogger logger) : IAsyncDisposable
{
    /// <summary>How often a worker that was cut off joins anew.</summary>
    private const int MaxReturns = 1000;

    private WorkerState? _state;
    private (ulong Run, ulong Term) _known;
    private TimeSpan _patience = settings.FirstPatience;
    private Timeouts _timeouts = Timeouts.Default;
    private bool _isStaying;

    /// <summary>Takes part until the run does not want this worker any more.</summary>
    public async Task<RunOutcome> RunAsync(CancellationToken cancellation)
    {
        var pause = TimeSpan.Zero;
        for (var returns = 0; ; returns++)
        {
            var began = time.GetTimestamp();
            var end = await AttendAsync(cancellation);
            if (settings.Stay && cancellation.IsCancellationRequested && !end.WasDismissed)
            {
                return new RunOutcome(true, $"The worker ended as it was asked to. {end.Outcome.Sentence}");
            }

            if (cancellation.IsCancellationRequested || (settings.Stay ? end.MayReturn == MayReturn.No && !end.MayStay : end.MayReturn == MayReturn.No || returns == MaxReturns))
            {
                return end.Outcome;
            }

            if (end.MayReturn == MayReturn.No)
            {
                await ForgetAsync();
                Log.Staying(logger, end.Outcome.Sentence);
                services.Vitals.Begin(WorkerActivity.Staying, end.Outcome.Sentence);
                _isStaying = true;
                await Task.Delay(_timeouts.PatientRedial, time, cancellation);
                continue;
            }

            // A worker that is cut off again and again must not stop the others as often.
            Log.Returning(logger, end.Outcome.Sentence);
            var isCalm = pause == TimeSpan.Zero || !end.WasDismissed || time.GetElapsedTime(began) > _timeouts.SettledSession;
            pause = isCalm ? _timeouts.FirstPause : TimeSpan.FromTicks(Math.Min(2 * pause.Ticks, _timeouts.LongestPause.Ticks));
            await Task.Delay(pause, time, cancellation);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync() => await ForgetAsync();

    private async Task ForgetAsync()
    {
        if (_state is not null)
        {
            await _state.DisposeAsync();
            _state = null;
        }
    }

    /// <summary>One session, from hello to its end.</summary>
    private async Task<SessionEnd> AttendAsync(CancellationToken cancellation)
    {
        var door = new CoordinatorDoor(settings.Coordinator, Greet, settings.Stay, time, Wait);
        Wait(null);
        await using var session = await door.JoinAsync(_known, _patience, _timeouts, _state?.Offer is not null, cancellation);
        _known = session.Tag;
        _isStaying = false;
        _timeouts = session.Timeouts;
        _patience = settings.Patience ?? _timeouts.CoordinatorPatience;
        services.Vitals.Attend(_timeouts);

        // A peer's call may come before this worker learns of the generation; the peer waits no longer for its links.
        services.Groups.Patience = _timeouts.Link;
        services.States.Patience = _timeouts.Stuck;
        await using var leave = cancellation.Register(() => session.Send(new Protocol.V1.WorkerMessage
        {
            Leave = new Protocol.V1.Leave { Sentence = "it was asked to end" },
        }));

        var end = await TakePartAsync(session);
        if (end.MayReturn != MayReturn.WithState && _state is not null)
        {
            _state.IsMember = false;
        }

        services.Vitals.Part();
        return end with { HasFailed = session.HasFailed };
    }

    private Protocol.V1.Hello Greet()
    {
        var words = Wire.ToWire(hello());
        words.Offer = _state?.Offer;

        // Of what became of the process before this one, a run is told once.
        words.KilledForMemory &= _known == default;
        return words;
    }

    private void Wait(string? sentence)
    {
        if (sentence is not null)
        {
            Log.Waiting(logger, sentence);
        }

        if (!_isStaying)
        {
            services.Vitals.Begin(WorkerActivity.Dialing, sentence ?? "");
        }
    }

    private async Task<SessionEnd> TakePartAsync(CoordinatorSession session)
    {
        try
        {
            if (_state is not null && !_state.BelongsTo(session))
            {
                await ForgetAsync();
            }

            if (_state is null)
            {
                services.Vitals.Begin(WorkerActivity.Loading);
                _state = await CreateAsync(session);
                services.Vitals.Begin(WorkerActivity.Attending);
            }

            await using var loop = new WorkerLoop(session, _state, settings, services, time, logger);
            return await loop.RunAsync();
        }
        catch (Exception) when (session.Ended.IsCancellationRequested)
        {
            // The outcome says why: getting the data broke off because of it.
            return await session.Outcome;
        }
        catch (Exception e) when (e is WorkerException or DataException)
        {
            session.Send(new Protocol.V1.WorkerMessage { Fault = new Protocol.V1.Fault { Sentence = e.Message } });
            throw;
        }
    }

    private async Task<WorkerState> CreateAsync(CoordinatorSession session)
    {
        var values = new Dictionary<string, string>(session.Welcome.Configuration, StringComparer.OrdinalIgnoreCase);
        if (settings.DataPath is not null)
        {
            values.Keys.Where(DataLocation.Holds).ToList().ForEach(key => values.Remove(key));
            values["data.path"] = settings.DataPath;
        }

        if (settings.Device is not null)
        {
            values["device"] = settings.Device;
        }

        var (options, problems) = OptionsReader.ReadRun(values);
        problems = [.. problems, .. settings.Tasks.Check(options)];
        if (problems.Count > 0)
        {
            throw new WorkerException($"This worker cannot carry out the run's configuration: {string.Join(" ", problems)}");
        }

        var sent = new Dictionary<string, string>(session.Welcome.Configuration);
        var data = await TakeDataAsync(session, options);
        try
        {
            return new WorkerState(session.Tag.Run, sent, session.Welcome.ConfigurationFingerprint, CreateTask(data.Run), data);
        }
        catch
        {
            data.Dispose();
            throw;
        }
    }

    /// <summary>Gets the data, unless they lie here. The session goes on meanwhile, and ends this when it ends.</summary>
    private async Task<HeldData> TakeDataAsync(CoordinatorSession session, RunOptions options)
    {
        var host = new DataHost { Cache = settings.Cache, Time = time, Say = sentence => Log.Data(logger, sentence) };
        if (!DataLocation.Read(options.Data).Location.Stream)
        {
            return await host.TakeAsync(options, session.Ended);
        }

        using var own = GrpcDialer.Open(settings.Coordinator, session.Timeouts.Link);
        var stream = new DataStream(new Protocol.V1.Coordinator.CoordinatorClient(own), session.Tag, session.Welcome.Worker, host);
        return await stream.TakeAsync(options, session.Ended);
    }

    private ITrainingTask CreateTask(RunOptions options)
    {
        try
        {
            return settings.Tasks.Create(options);
        }
        catch (Exception e) when (e is not (DataException or OutOfMemoryException))
        {
            throw new WorkerException($"The task {options.Task} cannot be created: {e.Message}", e);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(5, LogLevel.Information, "{Sentence}", EventName = "waiting")]
        public static partial void Waiting(ILogger logger, string sentence);

        [LoggerMessage(8, LogLevel.Information, "{Sentence} Staying for the next run.", EventName = "staying")]
        public static partial void Staying(ILogger logger, string sentence);

        [LoggerMessage(6, LogLevel.Information, "{Sentence}", EventName = "data")]
        public static partial void Data(ILogger logger, string sentence);

        [LoggerMessage(7, LogLevel.Warning, "{Sentence} Joining anew.", EventName = "returning")]
        public static partial void Returning(ILogger logger, string sentence);
    }
}
