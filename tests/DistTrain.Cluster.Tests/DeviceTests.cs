using DistTrain.Cli.Tasks;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary>Workers whose device has memory of its own, or no bits of its own.</summary>
public sealed class DeviceTests
{
    [Fact]
    public async Task A_run_on_devices_with_their_own_memory_has_the_bits_of_any_other()
    {
        using var folder = new TemporaryFolder();
        string[] settings =
        [
            "task=image-classification", "data.name=digits", "model.name=resnet", "model.width=8", "batch.global=96", "batch.micro=5", "stop.epochs=0",
            "stop.steps=6", "evaluate.everySteps=3", "clip.globalNorm=0.5",
        ];
        var expected = await LocalCluster.RunAsync(folder.At("cpu"), LocalCluster.Options([.. settings, "workers=1"]), tasks: BuiltInTasks.Catalog());
        Assert.True(expected.Coordinator.Success, expected.Coordinator.Sentence);
        foreach (var workers in new[] { 1, 3 })
        {
            // Worker 0 has room for few nodes, the others for more, and worker 2 is an ordinary processor.
            var run = await LocalCluster.RunAsync(
                folder.At($"device{workers}"), LocalCluster.Options([.. settings, $"workers={workers}"]), tasks: BuiltInTasks.Catalog(),
                change: worker => worker with
                {
                    OpenDevice = (_, number) => number == 2 ? ComputeDevice.Cpu : ComputeDevice.StandIn(nodes: 1 + (2 * number)),
                });
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            Assert.Equal(expected.Hashes, run.Hashes);
            Assert.Equal(File.ReadLines(Path.Combine(expected.Folder, "evaluations.jsonl")), File.ReadLines(Path.Combine(run.Folder, "evaluations.jsonl")));
            Assert.True(run.Summary.GetProperty("promisesSameBits").GetBoolean());
        }
    }

    [Fact]
    public async Task A_device_that_does_not_repeat_itself_is_refused()
    {
        using var folder = new TemporaryFolder();
        var run = await LocalCluster.RunAsync(folder.At("run"), LocalCluster.Options("workers=1"), tasks: Unrepeatable());
        Assert.False(run.Coordinator.Success);
        Assert.Equal(
            "Worker 0, which built the model, was refused. Its device computed one gradient three times with different bits, so no run on it can be "
            + "repeated: use hosts of one kind, or give up equal bits by --allow-mixed-hosts.",
            run.Coordinator.Sentence);
    }

    [Fact]
    public async Task A_device_that_does_not_repeat_itself_may_be_admitted_and_the_run_says_so()
    {
        using var folder = new TemporaryFolder();
        var run = await LocalCluster.RunAsync(
            folder.At("run"), LocalCluster.Options("workers=2", "allowMixedHosts=true", "stop.epochs=1"), tasks: Unrepeatable());
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.False(run.Summary.GetProperty("promisesSameBits").GetBoolean());
        Assert.Equal(2, run.Lines("events.jsonl").Count(e => e.GetProperty("event").GetString() == "mixed-hosts"));
    }

    /// <summary>A task whose loss never has the same bits twice.</summary>
    private static TaskCatalog Unrepeatable()
    {
        var calls = 0;
        return FaultyTask.Catalog((loss, _) => loss with { Sum = loss.Sum * (1 + (1e-3f * Interlocked.Increment(ref calls))) });
    }
}
