using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.TestKit;

/// <summary>Keeps account of what a task's data sets load: on which threads, whether two at once, and whether it was all disposed of.</summary>
public sealed class LoadAccount
{
    private readonly object _gate = new();
    private readonly List<Tensor> _tensors = [];
    private readonly List<string?> _threads = [];
    private int _loading;

    /// <summary>Done in every load, with the numbers of its samples. What it throws goes wrong with the load.</summary>
    public Action<IReadOnlyList<long>> Before { get; set; } = _ => { };

    /// <summary>Done before every loss.</summary>
    public Action BeforeLoss { get; set; } = () => { };

    /// <summary>Whether one was loaded while another was.</summary>
    public bool WereTwoAtOnce { get; private set; }

    /// <summary>The names of the threads that loaded, in order, of the loads that are over.</summary>
    public IReadOnlyList<string?> Threads
    {
        get
        {
            lock (_gate)
            {
                return [.. _threads];
            }
        }
    }

    /// <summary>How many tensors of those that were loaded, temporary ones included, nobody has disposed of.</summary>
    public int Left
    {
        get
        {
            lock (_gate)
            {
                return _tensors.Count(t => !t.IsInvalid);
            }
        }
    }

    /// <summary>Waits until so many loads are over, whether they went well or not.</summary>
    /// <returns>Whether they are.</returns>
    public bool Await(int loads, TimeSpan deadline)
    {
        lock (_gate)
        {
            while (_threads.Count < loads && Monitor.Wait(_gate, deadline))
            {
            }

            return _threads.Count >= loads;
        }
    }

    /// <summary>The same task, its data sets watched.</summary>
    public ITrainingTask Watch(ITrainingTask task) => new WatchedTask(task, this);

    private void Begin(ReadOnlySpan<long> samples)
    {
        lock (_gate)
        {
            WereTwoAtOnce |= ++_loading > 1;
        }

        Before([.. samples]);
    }

    /// <summary>Takes down a batch and a tensor that was used on the way, as data sets leave them to whoever called.</summary>
    private TensorBatch Add(TensorBatch batch)
    {
        lock (_gate)
        {
            _tensors.AddRange([batch.Inputs, batch.Targets, batch.Inputs.alias()]);
        }

        return batch;
    }

    private void End()
    {
        lock (_gate)
        {
            _loading--;
            _threads.Add(Thread.CurrentThread.Name);
            Monitor.PulseAll(_gate);
        }
    }

    private sealed class WatchedTask(ITrainingTask inner, LoadAccount account) : ITrainingTask
    {
        public IDataset Training { get; } = new WatchedDataset(inner.Training, account);

        public IDataset Validation { get; } = new WatchedDataset(inner.Validation, account);

        public IReadOnlyList<string> Metrics => inner.Metrics;

        public nn.Module BuildModel() => inner.BuildModel();

        public LossSum Loss(nn.Module model, TensorBatch batch)
        {
            account.BeforeLoss();
            return inner.Loss(model, batch);
        }

        public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

        public void Dispose() => inner.Dispose();
    }

    private sealed class WatchedDataset(IDataset inner, LoadAccount account) : IDataset
    {
        public long Count => inner.Count;

        public string Fingerprint => inner.Fingerprint;

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            try
            {
                account.Begin(samples);
                return account.Add(inner.Load(samples));
            }
            finally
            {
                account.End();
            }
        }

        public TensorBatch LoadForTraining(ReadOnlySpan<long> samples, ReadOnlySpan<ulong> keys)
        {
            try
            {
                account.Begin(samples);
                return account.Add(inner.LoadForTraining(samples, keys));
            }
            finally
            {
                account.End();
            }
        }
    }
}
