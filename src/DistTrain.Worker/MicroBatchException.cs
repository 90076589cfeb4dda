namespace DistTrain.Worker;

/// <summary>A micro-batch does not fit this worker's memory.</summary>
internal sealed class MicroBatchException(ulong operation, Exception cause) : Exception(cause.Message.Split('\n', 2)[0].TrimEnd(), cause)
{
    /// <summary>The operation it belongs to.</summary>
    public ulong Operation => operation;
}
