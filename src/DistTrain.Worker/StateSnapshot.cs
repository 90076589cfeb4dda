using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;

namespace DistTrain.Worker;

/// <summary>
/// A copy of a worker's state, from which a checkpoint is sent while the worker trains on. Its memory is kept from one checkpoint to the next: in pages that are
/// mapped already, a snapshot costs the step one copy of memory; in new ones it would cost two or three.
/// </summary>
internal sealed class StateSnapshot : IDisposable
{
    private readonly Replica _replica;
    private readonly List<(string Name, NativeVector Vector)> _vectors = [];

    /// <summary>Takes the memory; nothing is copied yet.</summary>
    /// <exception cref="OutOfMemoryException">The system has not that much.</exception>
    public StateSnapshot(Replica replica)
    {
        _replica = replica;
        try
        {
            foreach (var (name, vector) in replica.State)
            {
                _vectors.Add((name, new NativeVector(vector.Count)));
            }
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>The vectors' layout.</summary>
    public ParameterLayout Layout => _replica.Layout;

    /// <summary>The vectors, as they were when the copy was taken.</summary>
    public IReadOnlyList<(string Name, NativeVector Vector)> Vectors => _vectors;

    /// <summary>Hash of the weights then.</summary>
    public string WeightsHash { get; private set; } = "";

    /// <summary>The optimizer's numbers then.</summary>
    public IReadOnlyDictionary<string, double> Scalars { get; private set; } = new Dictionary<string, double>();

    /// <summary>Copies the state, in place of what was copied before. On the compute thread.</summary>
    public void Take()
    {
        foreach (var ((_, source), (_, target)) in _replica.State.Zip(_vectors))
        {
            target.CopyFrom(source);
        }

        (WeightsHash, Scalars) = (_replica.WeightsHash, _replica.Scalars);
    }

    /// <inheritdoc/>
    public void Dispose() => _vectors.ForEach(v => v.Vector.Dispose());
}
