using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary>What coordinator and workers need does not grow with the steps they have done.</summary>
[Collection(AloneInProcess.Name)]
public sealed class LeakTests(ITestOutputHelper output)
{
    private const int Steps = 10_000;
    private const int Every = 1_000;
    private const int WarmedUp = 2_000;

    // From step 2,000 to 10,000 the managed heap grew by 1.2 and -0.3 MB, the process by 5.7, 7.9 and 6.7 MB, nearly all of it in jumps: a region of the
    // managed heap has 4 MB. The inputs of one micro-batch left behind in every step would be 23 MB.
    private const long ManagedLimit = 4 << 20;
    private const long ResidentLimit = 16 << 20;

    // A worker has gradients from its first block on. On a busy machine the planner may have given both blocks to the other one until then.
    // And each of the two holds the inputs and targets it has loaded ahead, but not at the end. One tensor left behind by every evaluation, checkpoint or step would be 8 or more.
    private const int Gradients = 6;

    [Fact]
    public async Task Ten_thousand_steps_leave_no_tensor_and_no_memory()
    {
        using var folder = new TemporaryFolder();
        var samples = new List<Sample>();
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>(
            "pattern", context => new ObservedTask(new PatternTask(context), () => samples.Add(Sample.Take())));

        // A micro-batch takes all of the validation data: one worker evaluates and measures, the other has nothing to compute meanwhile.
        var run = await LocalCluster.RunAsync(
            folder.At("run"),
            LocalCluster.Options(
                "workers=2", "batch.global=120", "batch.micro=60", "stop.epochs=0", $"stop.steps={Steps}", "optimizer.learningRate=0.01",
                "evaluate.everyEpochs=0", $"evaluate.everySteps={Every}", $"checkpoint.everySteps={Every}"),
            tasks: tasks);

        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(Steps, run.Metrics.Count);
        Assert.Equal(Steps / Every, samples.Count);
        samples.ForEach(s => output.WriteLine(s.ToString()));

        var (warm, end) = (samples[(WarmedUp / Every) - 1], samples[^1]);
        output.WriteLine($"resident {PerStep(end.Resident - warm.Resident):F1} bytes a step, managed {PerStep(end.Managed - warm.Managed):F1}");
        Assert.All(samples.Skip((WarmedUp / Every) - 1), s => Assert.InRange(s.Tensors, warm.Tensors - Gradients, warm.Tensors + Gradients));
        Assert.True(end.Managed - warm.Managed < ManagedLimit, $"The managed heap grew by {end.Managed - warm.Managed} bytes");
        Assert.True(end.Resident - warm.Resident < ResidentLimit, $"The process grew by {end.Resident - warm.Resident} bytes");

        static double PerStep(long bytes) => (double)bytes / (Steps - WarmedUp);
    }

    private sealed record Sample(long Tensors, long Managed, long Resident)
    {
        /// <summary>What is alive when all that nobody holds is gone.</summary>
        public static Sample Take()
        {
            for (var i = 0; i < 2; i++)
            {
                GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
                GC.WaitForPendingFinalizers();
            }

            return new Sample(Tensor.TotalCount, GC.GetGCMemoryInfo(GCKind.FullBlocking).HeapSizeBytes, Environment.WorkingSet);
        }
    }

    /// <summary>The pattern, learned by a model that draws random numbers and keeps statistics. Calls back at every evaluation.</summary>
    private sealed class ObservedTask(PatternTask inner, Action evaluates) : ITrainingTask
    {
        public IDataset Training => inner.Training;

        public IDataset Validation => inner.Validation;

        public IReadOnlyList<string> Metrics => inner.Metrics;

        public nn.Module BuildModel() => nn.Sequential(
            nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU(), nn.Dropout(0.2), nn.Linear(24, 5));

        public LossSum Loss(nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

        public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
        {
            evaluates();
            return inner.Evaluate(model, batch, metrics);
        }

        public void Dispose() => inner.Dispose();
    }
}
