namespace DistTrain.Training.Replicas;

/// <summary>Node memory that is used again from step to step: after the first, no step allocates any. Used by the compute thread alone.</summary>
public abstract class NodePool : IDisposable
{
    /// <summary>A node of any content.</summary>
    public abstract NodeBuffer Rent();

    /// <summary>Gives a node back; its values are lost.</summary>
    public abstract void Return(NodeBuffer node);

    /// <inheritdoc/>
    public abstract void Dispose();
}
