using DistTrain.Core.Options;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;

namespace DistTrain.Training.Checkpoints;

/// <summary>The state of another run's checkpoint as the one that a run begins with.</summary>
public static class StartingState
{
    /// <summary>
    /// Reads weights, buffers and, where the rule is the same, what the optimizer and the running average remember; else these begin anew. What the first worker builds so is the run's
    /// checkpoint 0: all others copy it.
    /// </summary>
    /// <param name="replica">A replica as it was built; to be called on its thread.</param>
    /// <param name="start">The checkpoint.</param>
    /// <param name="optimizer">The run's update rule.</param>
    /// <exception cref="DataException">The checkpoint is missing, damaged, of another model, or not the one that is meant.</exception>
    public static void Read(Replica replica, StartOptions start, string optimizer)
    {
        var folder = CheckpointFolder.Find(start.Checkpoint!);
        var facts = folder.Facts();
        if (facts.WeightsHash != start.WeightsHash)
        {
            throw new DataException($"{folder.Path} has weights {facts.WeightsHash}, and start.weightsHash is {start.WeightsHash}: give the checkpoint that the run is meant to begin with.");
        }

        var (slots, state) = (replica.Layout.Slots, replica.State);
        using (var weights = folder.Open("model.safetensors", slots, [""]))
        {
            foreach (var slot in slots)
            {
                weights.Read("", slot, state[0].Vector);
            }
        }

        var isSameRule = facts.Optimizer == optimizer && facts.Vectors.SequenceEqual(state.Select(s => s.Name));
        if (isSameRule && state.Count > 1)
        {
            using var beside = folder.Open("optimizer.safetensors", slots, [.. state.Skip(1).Select(s => s.Name + ".")]);
            foreach (var (name, vector) in state.Skip(1))
            {
                slots.ToList().ForEach(slot => beside.Read(name + ".", slot, vector));
            }
        }
        else if (state[^1] is (Replica.AverageName, var average))
        {
            average.CopyFrom(state[0].Vector);
        }

        if (isSameRule)
        {
            replica.Scalars = facts.Scalars;
        }

        replica.StateWasReplaced();
    }
}
