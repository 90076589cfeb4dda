using System.Diagnostics;
using System.Runtime.ExceptionServices;
using DistTrain.Core.Numerics;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>The samples of a micro-batch: all that its tensors depend on within a run.</summary>
/// <param name="Kind">Whether they are trained on.</param>
/// <param name="Epoch">The epoch.</param>
/// <param name="First">The first position of the epoch, or of the validation data.</param>
/// <param name="Count">How many.</param>
internal readonly record struct BatchKey(OperationKind Kind, long Epoch, long First, int Count)
{
    /// <summary>That of an operation's micro-batch.</summary>
    public static BatchKey Of(Operation operation, long microBatch)
    {
        var range = operation.Batches.MicroBatch(microBatch);
        return new BatchKey(operation.Kind, operation.Samples.Epoch, operation.Samples.First + range.First, (int)range.Count);
    }
}

/// <summary>
/// Loads micro-batches, and while the model computes one the next, on a thread of its own. Data sets are called by one thread at a time, and what goes wrong ahead of time is thrown when the
/// micro-batch is asked for: whoever asks sees no difference but in time.
/// </summary>
internal sealed class BatchLoader : IDisposable
{
    /// <summary>How long a micro-batch that is being loaded ahead is waited for: far longer than any takes from storage that answers.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly ITrainingTask _task;
    private readonly ulong _seed;
    private readonly TimeSpan _patience;
    private readonly object _gate = new();
    private readonly Thread _thread;
    private long[] _numbers = [];
    private ulong[] _keys = [];

    // One micro-batch at most is ahead.
    private Stage _stage;
    private BatchKey _ahead;
    private TensorBatch? _batch;
    private ExceptionDispatchInfo? _failure;
    private bool _isGivenUp;

    // What is loaded ahead once nothing else of the operation under way is to come.
    private BatchKey? _expected;
    private bool _isUnderWay;
    private bool _isOver;

    /// <summary>A loader of a task's data.</summary>
    /// <param name="task">The task.</param>
    /// <param name="seed">The run's seed.</param>
    /// <param name="patience">How long a micro-batch that is being loaded is waited for; null for 5 minutes.</param>
    public BatchLoader(ITrainingTask task, ulong seed, TimeSpan? patience = null)
    {
        (_task, _seed, _patience) = (task, seed, patience ?? Patience);
        _thread = new Thread(Work) { Name = "data", IsBackground = true };
        _thread.Start();
    }

    private enum Stage
    {
        Nothing,
        Wanted,
        Loading,
        Loaded,
    }

    /// <summary>A micro-batch, from the thread that computes; the one after it is loaded from here on.</summary>
    /// <param name="key">Its samples.</param>
    /// <param name="next">Those of the next one; null for the last of an operation, which is followed by what is expected.</param>
    /// <returns>New tensors, the caller's.</returns>
    /// <exception cref="DataException">What is being loaded is not there in time, or the data set says so.</exception>
    public TensorBatch Take(BatchKey key, BatchKey? next)
    {
        var batch = TakeAhead(key) ?? Load(key);
        lock (_gate)
        {
            _isUnderWay = next is not null;
            Want(next);
        }

        return batch;
    }

    /// <summary>Says which micro-batch is asked for after the operation under way. From any thread.</summary>
    public void Expect(BatchKey key)
    {
        lock (_gate)
        {
            _expected = key;
            if (!_isUnderWay && _stage == Stage.Nothing)
            {
                Want(null);
            }
        }
    }

    /// <summary>Forgets what is loaded ahead and what is expected; no data set is being called when this returns.</summary>
    /// <exception cref="DataException">What is being loaded is not there in time.</exception>
    public void Forget()
    {
        lock (_gate)
        {
            Settle();
            Clear()?.Dispose();
            (_expected, _isUnderWay) = (null, false);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isOver = true;
            Monitor.PulseAll(_gate);
            if (!IsSettled())
            {
                // The thread ends with the process, or when it gets its data after all.
                return;
            }

            Clear()?.Dispose();
        }

        _thread.Join();
    }

    /// <summary>What was loaded ahead, if it is what is asked for.</summary>
    private TensorBatch? TakeAhead(BatchKey key)
    {
        lock (_gate)
        {
            _isUnderWay = true;
            _expected = _expected == key ? null : _expected;
            Settle();
            var (isAsked, failure) = (_ahead == key, _failure);
            if (Clear() is { } batch)
            {
                if (isAsked)
                {
                    return batch;
                }

                batch.Dispose();
            }

            // There may be room for it now: the micro-batch before has been computed.
            if (isAsked && failure is not null && !MemoryShortage.Is(failure.SourceException))
            {
                failure.Throw();
            }

            return null;
        }
    }

    /// <summary>Until nothing is being loaded. What the thread has not begun is given up: waiting for its turn on a busy processor may take longer than loading here.</summary>
    private void Settle()
    {
        if (!IsSettled())
        {
            throw new DataException(
                $"The data set has not given the {_ahead.Count} samples from position {_ahead.First} of epoch {_ahead.Epoch} within {_patience.TotalSeconds:0} seconds: see whether the storage that it reads "
                + "from answers, then start the worker again.");
        }
    }

    /// <summary>Waits until nothing is being loaded, but not for ever, and once only for what does not come.</summary>
    private bool IsSettled()
    {
        _stage = _stage == Stage.Wanted ? Stage.Nothing : _stage;
        var began = Stopwatch.GetTimestamp();
        while (_stage == Stage.Loading && !_isGivenUp)
        {
            var left = _patience - Stopwatch.GetElapsedTime(began);
            _isGivenUp = left <= TimeSpan.Zero;
            if (!_isGivenUp)
            {
                Monitor.Wait(_gate, left);
            }
        }

        return _stage != Stage.Loading;
    }

    private TensorBatch? Clear()
    {
        var batch = _batch;
        (_stage, _ahead, _batch, _failure) = (Stage.Nothing, default, null, null);
        return batch;
    }

    /// <summary>Has a micro-batch loaded, or what is expected.</summary>
    private void Want(BatchKey? next)
    {
        if (next is null)
        {
            (next, _expected) = (_expected, null);
        }

        if (next is { } key)
        {
            (_stage, _ahead) = (Stage.Wanted, key);
            Monitor.PulseAll(_gate);
        }
    }

    private void Work()
    {
        while (AwaitWanted() is { } key)
        {
            var (batch, failure) = (default(TensorBatch), default(ExceptionDispatchInfo));
            try
            {
                batch = LoadApart(key);
            }
            catch (Exception exception)
            {
                failure = ExceptionDispatchInfo.Capture(exception);
            }

            lock (_gate)
            {
                (_stage, _batch, _failure, _isGivenUp) = (Stage.Loaded, batch, failure, false);
                Monitor.PulseAll(_gate);
            }
        }
    }

    /// <summary>The next one to load; null at the end.</summary>
    private BatchKey? AwaitWanted()
    {
        lock (_gate)
        {
            while (_stage != Stage.Wanted && !_isOver)
            {
                Monitor.Wait(_gate);
            }

            if (_isOver)
            {
                return null;
            }

            _stage = Stage.Loading;
            return _ahead;
        }
    }

    /// <summary>Tensors that outlive this thread's scope: they are disposed of where they are computed.</summary>
    private TensorBatch LoadApart(BatchKey key)
    {
        using var scope = NewDisposeScope();
        var batch = Load(key);
        batch.Inputs.DetachFromDisposeScope();
        batch.Targets.DetachFromDisposeScope();
        return batch;
    }

    private TensorBatch Load(BatchKey key)
    {
        if (_numbers.Length < key.Count)
        {
            (_numbers, _keys) = (new long[key.Count], new ulong[key.Count]);
        }

        var numbers = _numbers.AsSpan(0, key.Count);
        if (key.Kind == OperationKind.Evaluate)
        {
            for (var i = 0; i < numbers.Length; i++)
            {
                numbers[i] = key.First + i;
            }

            return _task.Validation.Load(numbers);
        }

        var keys = _keys.AsSpan(0, key.Count);
        var shuffle = new KeyedPermutation(Hash64.EpochKey(_seed, key.Epoch), _task.Training.Count);
        for (var i = 0; i < numbers.Length; i++)
        {
            numbers[i] = shuffle[key.First + i];
            keys[i] = Hash64.SampleKey(_seed, key.Epoch, key.First + i);
        }

        return _task.Training.LoadForTraining(numbers, keys);
    }
}
