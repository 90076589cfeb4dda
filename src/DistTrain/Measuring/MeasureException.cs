namespace DistTrain.Measuring;

/// <summary>Something cannot be measured. The message is a sentence for the user.</summary>
internal sealed class MeasureException(string message) : Exception(message)
{
    /// <summary>Whether that is for want of memory.</summary>
    public bool IsShort { get; init; }
}
