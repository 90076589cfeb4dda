using DistTrain.Core.Batches;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Core.Tuning;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;

namespace DistTrain.Training.Tuning;

/// <summary>
/// Measures what micro-batches of a size cost on this host, by computing some. The state of the replica is as before afterwards; the process keeps what torch does not give
/// back, so that sizes are measured in ascending order. The process's peak counts anew from every size on, and when all are measured. Used on the replica's thread.
/// </summary>
public sealed class MicroBatchMeter : IDisposable
{
    private readonly Replica _replica;
    private readonly long _samples;
    private readonly TimeProvider _time;
    private readonly NodePool _nodes;
    private readonly NodeBuffer _node;
    private readonly long _base;

    /// <summary>A meter; takes the memory of one node.</summary>
    /// <param name="replica">The model with its data.</param>
    /// <param name="samples">Samples of the training data.</param>
    /// <param name="time">The clock that passes are timed by.</param>
    public MicroBatchMeter(Replica replica, long samples, TimeProvider time)
    {
        (_replica, _samples, _time) = (replica, samples, time);
        _nodes = replica.CreateNodes();
        _node = _nodes.Rent();
        _node.Clear();
        ProcessMemory.ForgetPeak();
        _base = ProcessMemory.Resident();
    }

    /// <summary>What the process held before the first pass: program, state and one node; in bytes.</summary>
    public long Held => _base;

    /// <summary>Computes micro-batches of one size, as many as <see cref="TimedPasses"/> wants.</summary>
    /// <param name="size">Samples of each; where the data hold fewer, all of them.</param>
    public MicroBatchCost Measure(int size)
    {
        size = (int)Math.Min(size, _samples);
        ProcessMemory.ForgetPeak();
        var operation = new Operation(0, OperationKind.Train, 0, new SampleRange(0, 0, size), new BatchGeometry(size, size, 1), 0, false, false);
        var passes = new TimedPasses();
        try
        {
            while (!passes.AreEnough)
            {
                // As in a run, the next micro-batch is loaded meanwhile: it takes its memory, and no time of its own.
                var start = _time.GetTimestamp();
                _replica.Accumulate(operation, 0, _node, () => { }, next: 0);
                passes.Add(_time.GetElapsedTime(start));
            }
        }
        finally
        {
            _replica.ForgetExpected();
        }

        return new MicroBatchCost(size, passes.Fastest, _base, ProcessMemory.Peak());
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _replica.ForgetNode();
        _nodes.Return(_node);
        _nodes.Dispose();
        ProcessMemory.ForgetPeak();
    }
}
