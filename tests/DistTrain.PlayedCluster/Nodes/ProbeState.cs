namespace DistTrain.PlayedCluster.Nodes;

/// <summary>What a probe has said so far: the verdict changes only after a threshold of results in a row, as at the kubelet.</summary>
/// <param name="Passes">The verdict.</param>
/// <param name="InARow">How many results in a row were like the last one.</param>
/// <param name="Last">The last result; null before the first.</param>
internal sealed record ProbeState(bool Passes, int InARow, bool? Last)
{
    /// <summary>A container is not ready, and not started, before its probe has passed.</summary>
    public static ProbeState Failing { get; } = new(false, 0, null);

    /// <summary>A container lives until its probe has failed.</summary>
    public static ProbeState Passing { get; } = new(true, 0, null);

    /// <summary>After one more result.</summary>
    public ProbeState After(bool result, int successThreshold, int failureThreshold)
    {
        var inARow = result == Last ? InARow + 1 : 1;
        return new(inARow >= (result ? successThreshold : failureThreshold) ? result : Passes, inARow, result);
    }
}
