namespace DistTrain.Core.Health;

/// <summary>What a process says when it is asked how it is.</summary>
/// <param name="IsGood">Whether the answer is yes.</param>
/// <param name="Sentence">Why, in one sentence.</param>
public readonly record struct HealthAnswer(bool IsGood, string Sentence);
