using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>Promise P2 over real sockets: the weights after every step have the same bits on any number of workers.</summary>
public sealed class SameBits
{
    [Theory]
    [InlineData("batch.global=50", "batch.micro=4")]
    public async Task Any_number_of_workers_gives_the_same_hashes(params string[] settings)
    {
        using var folder = new TemporaryFolder();
        var runs = new List<ClusterRun>();
        foreach (var workers in new[] { 1, 2, 3, 5, 8 })
        {
            runs.Add(await LocalCluster.RunAsync(folder.At($"w{workers}"), LocalCluster.Options([.. settings, $"workers={workers}"])));
        }

        Assert.All(runs, run => Assert.True(run.Coordinator.Success, run.Coordinator.Sentence));
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.Equal(10, runs[0].Hashes.Count);
        Assert.Equal(10, runs[0].Hashes.Distinct().Count());
    }
}
