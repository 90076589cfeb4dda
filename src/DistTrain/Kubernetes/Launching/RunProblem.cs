namespace DistTrain.Kubernetes.Launching;

/// <summary>Something that keeps a run, or a part of it, from going on.</summary>
/// <param name="Subject">What has it, as kubectl names it.</param>
/// <param name="Sentence">What it is, and the remedy.</param>
/// <param name="IsFinal">Whether it will not pass by itself.</param>
internal sealed record RunProblem(string Subject, string Sentence, bool IsFinal = false);
