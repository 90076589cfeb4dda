namespace DistTrain.Cluster.Tests;

/// <summary>Tests that look at what a whole process shares: its memory, the number of live tensors.</summary>
[CollectionDefinition(Name, DisableParallelization = true)]
public sealed class AloneInProcess
{
    public const string Name = "alone in the process";
}
