namespace DistTrain.Core.Tuning;

/// <summary>What a worker proposes, and why.</summary>
/// <param name="Size">Samples of a micro-batch: its choice; 0 where not even one sample fits.</param>
/// <param name="Most">The largest size that it knows to fit; 0 for none.</param>
/// <param name="Sentence">The same for people.</param>
public sealed record MicroBatchChoice(int Size, int Most, string Sentence);
