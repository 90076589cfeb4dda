namespace DistTrain.Sweeping;

/// <summary>Why a sweep cannot go on, in a sentence.</summary>
/// <param name="message">The sentence.</param>
/// <param name="isUsage">Whether something was asked for that cannot be; nothing was done then.</param>
internal sealed class SweepException(string message, bool isUsage = false) : Exception(message)
{
    /// <summary>Whether something was asked for that cannot be.</summary>
    public bool IsUsage => isUsage;
}
