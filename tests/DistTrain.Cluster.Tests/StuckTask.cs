using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary><see cref="PatternTask"/> whose training data get stuck at one micro-batch, until they are released. It is not the loss that gets stuck: workers in one process take turns there.</summary>
internal sealed class StuckTask(PatternTask inner, StuckTask.Gate gate) : ITrainingTask
{
    public IDataset Training { get; } = new StuckDataset(inner.Training, gate);

    public IDataset Validation => inner.Validation;

    public IReadOnlyList<string> Metrics => inner.Metrics;

    public static TaskCatalog Catalog(Gate gate) =>
        new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new StuckTask(new PatternTask(context), gate));

    public nn.Module BuildModel() => inner.BuildModel();

    public LossSum Loss(nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

    public void Dispose() => inner.Dispose();

    /// <summary>What holds a worker up.</summary>
    /// <param name="at">The micro-batch at which it does.</param>
    /// <param name="deadline">How long at most.</param>
    internal sealed class Gate(int at, TimeSpan deadline) : IDisposable
    {
        private readonly ManualResetEventSlim _released = new();
        private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private int _loads;

        /// <summary>The worker is held up.</summary>
        public Task Reached => _reached.Task;

        public void Release() => _released.Set();

        public void Pass()
        {
            if (Interlocked.Increment(ref _loads) != at)
            {
                return;
            }

            _reached.SetResult();
            if (!_released.Wait(deadline))
            {
                throw new TimeoutException($"Micro-batch {at} was not released within {deadline}.");
            }
        }

        public void Dispose() => _released.Dispose();
    }

    private sealed class StuckDataset(IDataset inner, Gate gate) : IDataset
    {
        public long Count => inner.Count;

        public string Fingerprint => inner.Fingerprint;

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            gate.Pass();
            return inner.Load(samples);
        }
    }
}
