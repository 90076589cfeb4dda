namespace DistTrain.Core;

/// <summary>How a coordinator or a worker ended.</summary>
/// <param name="Success">Whether the run, or the worker's part in it, was completed.</param>
/// <param name="Sentence">Why it ended, in one sentence for the user.</param>
public sealed record RunOutcome(bool Success, string Sentence);
