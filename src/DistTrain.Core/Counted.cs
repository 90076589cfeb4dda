namespace DistTrain.Core;

/// <summary>Numbers of things in sentences for people.</summary>
public static class Counted
{
    /// <summary>A number and its noun, such as <c>1 step</c> and <c>1,000 steps</c>.</summary>
    /// <param name="count">How many.</param>
    /// <param name="noun">Of one.</param>
    /// <param name="ending">What is added to the noun of any other number.</param>
    public static string Of(long count, string noun, string ending = "s") => $"{count:N0} {noun}{(count == 1 ? "" : ending)}";
}
