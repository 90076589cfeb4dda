using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Protocol;
using DistTrain.Training.Data;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tuning;

namespace DistTrain.Worker.Tuning;

/// <summary>A worker's state without a run, for measuring: data and model are built as a worker builds them, and micro-batches computed on its thread.</summary>
public sealed class ModelMeter : IAsyncDisposable
{
    private readonly WorkerState _state;
    private readonly TimeProvider _time;
    private MicroBatchMeter? _sizes;

    private ModelMeter(WorkerState state, long runtime, TimeProvider time) => (_state, RuntimeBytes, _time) = (state, runtime, time);

    /// <summary>What the process held before there was a model: program, libraries and data, in bytes.</summary>
    public long RuntimeBytes { get; }

    /// <summary>The vectors of the state, as far as they take memory.</summary>
    public StateSize State => Replica.Size;

    /// <summary>Elements of the flat vector that are trained: those of parameters.</summary>
    public long Parameters => Replica.Layout.BuffersStart;

    /// <summary>Where it computes.</summary>
    public string Device => Replica.Device.Name;

    private Replica Replica => _state.Replica!;

    /// <summary>Builds the model.</summary>
    /// <param name="options">The run's configuration, valid.</param>
    /// <param name="task">The task; owned from here on.</param>
    /// <param name="data">What the task reads; owned from here on.</param>
    /// <param name="number">Which of the measuring workers it is.</param>
    /// <param name="time">The clock that passes are timed by.</param>
    /// <exception cref="PlatformNotSupportedException">libtorch does not load.</exception>
    public static async Task<ModelMeter> StartAsync(RunOptions options, ITrainingTask task, HeldData data, int number, TimeProvider time)
    {
        var state = new WorkerState(0, OptionsReader.Write(options), ProgramIdentity.Fingerprint(options), task, data);
        await state.Compute.RunAsync(() => TorchRuntime.Load(options.Threads, options.Instructions));
        var runtime = ProcessMemory.Resident();
        await state.BuildAsync(() => new Replica(task, options, ComputeDevice.Open(options.Device, number)));
        return new ModelMeter(state, runtime, time);
    }

    /// <summary>Measures what micro-batches of a size cost.</summary>
    /// <param name="size">Samples of each.</param>
    /// <returns>The cost; null where one does not fit the memory there is.</returns>
    public Task<MicroBatchCost?> MeasureAsync(int size) => _state.Compute.RunAsync(() =>
    {
        try
        {
            _sizes ??= new MicroBatchMeter(Replica, _state.Task.Training.Count, _time);
            return _sizes.Measure(size);
        }
        catch (Exception e) when (MemoryShortage.Is(e))
        {
            return null;
        }
    });

    /// <summary>What people should know of the model and its configuration, in sentences, as a run's first worker says it after its probe; null where that does not fit the memory there is.</summary>
    /// <param name="micro">Most samples of a micro-batch.</param>
    public async Task<IReadOnlyList<string>?> RemarksAsync(int micro) =>
        await MeasureAsync(Math.Min(micro, Replica.MostProbe)) is null ? null : await _state.Compute.RunAsync(() => Replica.Remarks(micro).ToList());

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _state.Compute.RunAsync(() => _sizes?.Dispose());
        await _state.DisposeAsync();
    }
}
