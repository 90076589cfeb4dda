using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Protocol.V1;
using DistTrain.Training.Data;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker.Health;

namespace DistTrain.Worker;

/// <summary>
/// What of a worker outlives its session: data, model, and where it was a member, the state with the nodes it holds. A worker that loses its coordinator keeps it all and
/// offers it to the next one.
/// </summary>
/// <param name="run">The run it belongs to.</param>
/// <param name="configuration">The run's configuration as the coordinator sent it.</param>
/// <param name="fingerprint">Of the run's identity.</param>
/// <param name="task">The task; owned.</param>
/// <param name="data">What the task reads; owned. Its configuration is that of the run as this host carries it out.</param>
internal sealed class WorkerState(
    ulong run, IReadOnlyDictionary<string, string> configuration, string fingerprint, ITrainingTask task, HeldData data) : IAsyncDisposable
{
    private readonly ManualResetEventSlim _over = new();
    private readonly Lock _lock = new();
    private Task<StateSnapshot>? _snapshot;
    private int _tried;

    /// <summary>The task.</summary>
    public ITrainingTask Task => task;

    /// <summary>The configuration as this host carries it out.</summary>
    public RunOptions Options => data.Run;

    /// <summary>The only thread that computes.</summary>
    public ComputeThread Compute { get; } = new();

    /// <summary>Model and optimizer, once built.</summary>
    public Replica? Replica { get; private set; }

    /// <summary>Hash of the probe gradient; null where the device does not repeat it.</summary>
    public string? Probe { get; private set; }

    /// <summary>Which micro-batches suit this host, where the run's workers have to find that; null before it is measured, and where they have not.</summary>
    public MicroBatchChoice? MicroBatch { get; private set; }

    /// <summary>The state and what is held of the operation under way, once there is a state.</summary>
    public StepExecutor? Executor { get; private set; }

    /// <summary>What its steps allocate.</summary>
    public StepAllocations Allocations { get; } = new();

    /// <summary>What may have to be reported again.</summary>
    public UnwrittenReports Reports { get; } = new();

    /// <summary>Whether the state is one of the run's, to go on from: true for a member, false while a state is built or copied.</summary>
    public bool IsMember { get; set; }

    /// <summary>The last generation that this worker was a member of with it.</summary>
    public ulong Generation { get; set; }

    /// <summary>What a coordinator that starts again is offered; null for nothing.</summary>
    public Offer? Offer => IsMember && Executor is not null
        ? new Offer { Run = run, ConfigurationFingerprint = fingerprint, Applied = Executor.Applied }
        : null;

    /// <summary>Whether it is of use in a session.</summary>
    public bool BelongsTo(CoordinatorSession session) =>
        session.Tag.Run == run && session.Welcome.Configuration.Count == configuration.Count
        && session.Welcome.Configuration.All(c => configuration.TryGetValue(c.Key, out var value) && value == c.Value);

    /// <summary>Builds model and optimizer, the first time.</summary>
    /// <param name="create">Creates the replica, on the compute thread.</param>
    public async Task<Replica> BuildAsync(Func<Replica> create)
    {
        if (Replica is null)
        {
            Probe = await Compute.RunAsync(() =>
            {
                TorchRuntime.Load(Options.Threads, Options.Instructions);
                Replica = create();
                return Replica.Probe();
            });
        }

        return Replica!;
    }

    /// <summary>Finds out which micro-batches suit this host, once.</summary>
    /// <param name="inForce">The size that the run has; 0 where it has none yet. A larger one than was tried before is tried anew.</param>
    /// <param name="find">Finds it, on the compute thread.</param>
    /// <returns>What was found, where it is news.</returns>
    public async Task<MicroBatchChoice?> FindAsync(int inForce, Func<MicroBatchChoice> find)
    {
        if (!Options.Batch.IsAuto || (MicroBatch is not null && (inForce <= MicroBatch.Most || inForce <= _tried)))
        {
            return null;
        }

        MicroBatch = await Compute.RunAsync(find);
        _tried = inForce > 0 ? inForce : int.MaxValue;
        return MicroBatch;
    }

    /// <summary>The replica holds a new state from here on.</summary>
    /// <param name="create">Creates what trains from it.</param>
    public async Task BeginAsync(Func<StepExecutor> create)
    {
        Reports.Clear();
        await Compute.RunAsync(() => Executor?.Dispose());
        Executor = create();
    }

    /// <summary>Memory for a copy of the state, taken off the step path the first time that one is wanted. A failure is tried again.</summary>
    /// <exception cref="OutOfMemoryException">The system has not that much.</exception>
    public Task<StateSnapshot> SnapshotAsync()
    {
        lock (_lock)
        {
            if (_snapshot is null or { IsFaulted: true })
            {
                var replica = Replica!;
                _snapshot = System.Threading.Tasks.Task.Run(() => new StateSnapshot(replica));
            }

            return _snapshot;
        }
    }

    /// <summary>Holds the compute thread up, as a configuration wants it that makes a worker slow on purpose.</summary>
    public void Pause(TimeSpan delay)
    {
        if (delay > TimeSpan.Zero)
        {
            _over.Wait(delay);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _over.Set();
        if (_snapshot is not null && await _snapshot.ContinueWith(s => s.IsCompletedSuccessfully, TaskScheduler.Default))
        {
            (await _snapshot).Dispose();
        }

        await Compute.RunAsync(() =>
        {
            Executor?.Dispose();
            Replica?.Dispose();
        });
        await Compute.DisposeAsync();
        _over.Dispose();
        task.Dispose();
        data.Dispose();
    }
}
