namespace DistTrain.Sweeping;

/// <summary>Why a sweep cannot go on, in sentences.</summary>
/// <param name="sentences">The sentences, at least one.</param>
/// <param name="isUsage">Whether something was asked for that cannot be; nothing was done then.</param>
internal sealed class SweepException(IReadOnlyList<string> sentences, bool isUsage = false) : Exception(string.Join(" ", sentences))
{
    /// <summary>Why a sweep cannot go on, in one sentence.</summary>
    public SweepException(string sentence, bool isUsage = false)
        : this([sentence], isUsage)
    {
    }

    /// <summary>The sentences.</summary>
    public IReadOnlyList<string> Sentences => sentences;

    /// <summary>Whether something was asked for that cannot be.</summary>
    public bool IsUsage => isUsage;
}
