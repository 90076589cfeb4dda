using System.Net;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Core.Tuning;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Training.Data;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tuning;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Health;
using DistTrain.Worker.Healing;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker.Tuning;

/// <summary>
/// A worker without a coordinator, for measuring: it builds the model as a worker does, and carries out steps with others of its kind, as a worker does, with a learning rate of 0.
/// </summary>
public sealed class StepMeter : IAsyncDisposable
{
    private const string Listen = "127.0.0.1:0";

    private readonly WorkerState _state;
    private readonly WebApplication _server;
    private readonly PeerGroupDirectory _groups;
    private readonly TimeProvider _time;
    private readonly WorkerVitals _vitals;
    private readonly float[] _buffers;
    private PeerGroup? _peers;
    private MicroBatchMeter? _sizes;

    private StepMeter(WorkerState state, WebApplication server, PeerGroupDirectory groups, WorkerVitals vitals, TimeProvider time)
    {
        (_state, _server, _groups, _vitals, _time) = (state, server, groups, vitals, time);
        _buffers = Buffers.ToArray();
    }

    /// <summary>Where the others reach it.</summary>
    public required Uri Address { get; init; }

    /// <summary>What the process held before there was a model: program, libraries and data, in bytes.</summary>
    public required long RuntimeBytes { get; init; }

    /// <summary>Elements of the flat vector.</summary>
    public long Elements => Replica.Layout.Count;

    /// <summary>Elements of the flat vector that are trained: those of parameters.</summary>
    public long Parameters => Replica.Layout.BuffersStart;

    /// <summary>Vectors of the state, weights included.</summary>
    public int StateVectors => Replica.State.Count;

    /// <summary>Where it computes.</summary>
    public string Device => Replica.Device.Name;

    private Replica Replica => _state.Replica!;

    private Span<float> Buffers => Replica.State[0].Vector.Span(Parameters, checked((int)(Elements - Parameters)));

    /// <summary>Builds the model and listens for the others.</summary>
    /// <param name="options">The run's configuration, valid.</param>
    /// <param name="task">The task; owned from here on.</param>
    /// <param name="data">What the task reads; owned from here on.</param>
    /// <param name="number">Which of the measuring workers it is.</param>
    /// <param name="time">The clock that steps are timed by.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="PlatformNotSupportedException">libtorch does not load.</exception>
    public static async Task<StepMeter> StartAsync(
        RunOptions options, ITrainingTask task, HeldData data, int number, TimeProvider time, CancellationToken cancellation)
    {
        var groups = new PeerGroupDirectory(time, Timeouts.Default.FirstAnswer);
        var server = GrpcListener.Create(Listen, all => all.AddSingleton(new PeerService(groups, new StateSource())), LogLevel.Warning);
        server.MapGrpcService<PeerService>();
        var bound = await GrpcListener.StartAsync(server, Listen, cancellation);
        var state = new WorkerState(0, OptionsReader.Write(options), ProgramIdentity.Fingerprint(options), task, data);
        await state.Compute.RunAsync(() => TorchRuntime.Load(options.Threads));
        var runtime = ProcessMemory.Resident();
        await state.BuildAsync(() => new Replica(task, options, ComputeDevice.Open(options.Device, number)));
        return new StepMeter(state, server, groups, new WorkerVitals(time), time)
        {
            Address = new UriBuilder(Uri.UriSchemeHttp, IPAddress.Loopback.ToString(), bound.Port).Uri,
            RuntimeBytes = runtime,
        };
    }

    /// <summary>Links up with others, which are told the same at the same time. Whoever was linked before no longer is.</summary>
    /// <param name="addresses">Where each rank is reached, the own included.</param>
    /// <param name="rank">The own rank.</param>
    /// <param name="generation">A number above that of any group before.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="WorkerException">One of them is not reached.</exception>
    public async Task LinkAsync(IReadOnlyList<Uri> addresses, int rank, ulong generation, CancellationToken cancellation)
    {
        await UnlinkAsync();
        _peers = new PeerGroup(new RunTag(0, 1, generation), rank, addresses, Timeouts.Default.Link);
        _groups.Set(_peers);
        if (!await _peers.LinkAsync(cancellation))
        {
            throw new WorkerException($"The measuring workers do not reach each other: {(await _peers.Broken).Reason}.");
        }

        if (_state.Executor is null)
        {
            await _state.BeginAsync(() => new StepExecutor(Replica, 0, _state.Compute, foldPerWorker: false, () => { }, _time, vitals: _vitals));
        }
        else
        {
            // Whoever was no member of the group before has carried out fewer operations, which change nothing but the model's buffers.
            _state.Executor.Follow(0);
            await _state.Compute.RunAsync(() =>
            {
                _buffers.CopyTo(Buffers);
                Replica.StateWasReplaced();
            });
        }
    }

    /// <summary>Carries out the same operation several times, together with the others.</summary>
    /// <param name="step">The operation's samples, and how they are cut up.</param>
    /// <param name="evaluates">Whether it evaluates in place of training.</param>
    /// <param name="ranges">The blocks of each rank.</param>
    /// <param name="count">How often.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<IReadOnlyList<OperationReport>> RunAsync(
        MeasuredStep step, bool evaluates, IReadOnlyList<BlockRange> ranges, int count, CancellationToken cancellation)
    {
        var (executor, peers) = (_state.Executor!, _peers!);
        IReadOnlyList<WorkShare> shares = [.. ranges.Select(WorkShare.Of)];
        var reports = new List<OperationReport>();
        for (var i = 0; i < count; i++)
        {
            var number = executor.Applied + 1;
            var operation = new Operation(
                number, evaluates ? OperationKind.Evaluate : OperationKind.Train, (long)number, new SampleRange(0, 0, step.Samples), step.Geometry, 0, false, false);
            var report = await executor.ExecuteAsync(operation, shares, peers, cancellation);
            reports.Add(report! with { ResidentBytes = ProcessMemory.Peak() });
        }

        return reports;
    }

    /// <summary>Measures what micro-batches of a size cost.</summary>
    /// <param name="size">Samples of each.</param>
    /// <param name="passes">How many are timed.</param>
    /// <returns>The cost; null where one does not fit the memory there is.</returns>
    public Task<MicroBatchCost?> MeasureAsync(int size, int passes) => _state.Compute.RunAsync(() =>
    {
        try
        {
            _sizes ??= new MicroBatchMeter(Replica, _state.Task.Training.Count, _time);
            return _sizes.Measure(size, passes);
        }
        catch (Exception e) when (MemoryShortage.Is(e))
        {
            return null;
        }
    });

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await UnlinkAsync();
        await _state.Compute.RunAsync(() => _sizes?.Dispose());
        await _state.DisposeAsync();
        await _server.DisposeAsync();
    }

    private async Task UnlinkAsync()
    {
        if (_peers is not null)
        {
            await _peers.DisposeAsync();
            _peers = null;
        }
    }
}
