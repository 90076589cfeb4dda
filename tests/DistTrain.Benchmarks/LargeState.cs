using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Devices;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Benchmarks;

/// <summary>A worker's state of any size, with one layer and one vector of momentum, and its steps; without exchange and coordinator.</summary>
internal sealed class LargeState : IAsyncDisposable
{
    private const int Micro = 16;
    private readonly ITrainingTask _task;
    private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], TimeSpan.FromSeconds(1));
    private ulong _operation;

    /// <summary>A state of about so many parameters.</summary>
    public LargeState(long parameters)
    {
        var (options, problems) = OptionsReader.ReadRun(new Dictionary<string, string>
        {
            ["task"] = "large",
            ["model.name"] = "large",
            ["data.name"] = "large",
            ["batch.global"] = $"{Micro}",
            ["batch.micro"] = $"{Micro}",
            ["optimizer.learningRate"] = "0.0001",
            ["stop.epochs"] = "1",
        });
        _task = problems.Count == 0 ? new OneLayer((long)Math.Sqrt(parameters)) : throw new InvalidOperationException(string.Join(' ', problems));
        Replica = Compute.RunAsync(() => new Replica(_task, options, ComputeDevice.Cpu)).GetAwaiter().GetResult();
        Executor = new StepExecutor(Replica, applied: 0, Compute, foldPerWorker: false, afterMicroBatch: () => { }, time: TimeProvider.System);
    }

    public ComputeThread Compute { get; } = new();

    public Replica Replica { get; }

    public StepExecutor Executor { get; }

    /// <summary>Bytes of weights and momentum.</summary>
    public long Bytes => Replica.State.Sum(s => s.Vector.Count * sizeof(float));

    /// <summary>Whole steps, one after the other.</summary>
    public async Task StepAsync(int steps)
    {
        for (var i = 0; i < steps; i++)
        {
            var operation = new Operation(
                ++_operation, OperationKind.Train, (long)_operation, new SampleRange(0, 0, Micro), new BatchGeometry(Micro, Micro, 1), 1e-4, WritesCheckpoint: false, IsLast: false);
            await Executor.ExecuteAsync(operation, [WorkShare.Of(new BlockRange(0, 1))], _alone, CancellationToken.None);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await Compute.RunAsync(() =>
        {
            Executor.Dispose();
            Replica.Dispose();
        });
        await Compute.DisposeAsync();
        await _alone.DisposeAsync();
        _task.Dispose();
    }

    private sealed class OneLayer(long width) : ITrainingTask
    {
        public IDataset Training { get; } = new Constants(width);

        public IDataset Validation { get; } = new Constants(width);

        public IReadOnlyList<string> Metrics => [];

        public nn.Module BuildModel() => nn.Linear(width, width, hasBias: false);

        public LossSum Loss(nn.Module model, TensorBatch batch) => new(((nn.Module<Tensor, Tensor>)model).call(batch.Inputs).square().sum(), batch.Targets.shape[0]);

        public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => Loss(model, batch);

        public void Dispose()
        {
        }
    }

    private sealed class Constants(long width) : IDataset
    {
        public long Count => Micro;

        public string Fingerprint => $"{width}";

        public TensorBatch Load(ReadOnlySpan<long> samples) => new(full(samples.Length, width, 0.01f), zeros(samples.Length, ScalarType.Int64));
    }
}
