using DistTrain.Cli.Tasks;
using DistTrain.TestKit;

namespace DistTrain.Cluster.Tests;

/// <summary>
/// Promise P2 for every built-in model, rule and change of images: ten configurations in which every pair of (model, optimizer, augmentation,
/// clipping) occurs, one for each rule that goes by layers, and two whose numbers follow the batch, 40 steps of 96 samples in micro-batches of 7, which divides nothing.
/// </summary>
public sealed class SameBitsOfEveryModel
{
    private const string Mlp = "model.name=mlp model.hidden=32 model.dropout=0.2";
    private const string Cnn = "model.name=cnn model.hidden=32 model.dropout=0.2";
    private const string BatchNorm = "model.name=resnet model.width=8 model.norm=batch";
    private const string GroupNorm = "model.name=resnet model.width=8 model.norm=group";
    private const string Gpt = "task=language-model data.name=devils-dictionary model.name=gpt model.window=16 model.width=32 model.layers=2 model.heads=2 model.dropout=0.1";
    private const string Sgd = "optimizer.name=sgd optimizer.learningRate=0.05 optimizer.momentum=0.9 optimizer.weightDecay=0.0005";
    private const string AdamW = "optimizer.name=adamw optimizer.learningRate=0.003 optimizer.weightDecay=0.1 optimizer.decayMatricesOnly=true average.decay=0.9";
    private const string Lars = "optimizer.name=lars optimizer.learningRate=4 optimizer.trustCoefficient=0.01 optimizer.weightDecay=0.0005";
    private const string Lamb = "optimizer.name=lamb optimizer.learningRate=0.01 optimizer.weightDecay=0.1 optimizer.decayMatricesOnly=true";
    private const string Augmented = "data.shift=1 data.flip=true data.noise=0.2";
    private const string Scaled = "schedule.referenceBatch=12 schedule.scaling=";
    private const string Clipped = "clip.globalNorm=0.5";

    [Theory]
    [InlineData(Mlp, Sgd, Augmented, Clipped)]
    [InlineData(Mlp, AdamW)]
    [InlineData(Cnn, Sgd)]
    [InlineData(Cnn, AdamW, Augmented, Clipped)]
    [InlineData(BatchNorm, Sgd, Augmented)]
    [InlineData(BatchNorm, AdamW, Clipped)]
    [InlineData(GroupNorm, Sgd, Clipped)]
    [InlineData(GroupNorm, AdamW, Augmented)]
    [InlineData(Gpt, Sgd, Clipped)]
    [InlineData(Gpt, AdamW)]
    [InlineData(Cnn, Lars, Clipped)]
    [InlineData(Gpt, Lamb)]
    [InlineData(Mlp, Lars, Scaled + "linear optimizer.learningRate=0.5")]
    [InlineData(Mlp, AdamW, Scaled + "sqrt optimizer.beta1=0.98")]
    public async Task Any_number_of_workers_gives_the_same_bits(params string[] settings)
    {
        using var folder = new TemporaryFolder();
        string[] common =
        [
            "task=image-classification", "data.name=digits", "batch.global=96", "batch.micro=7", "stop.epochs=0", "stop.steps=40",
            "evaluate.everyEpochs=0", "evaluate.everySteps=20",
        ];
        var runs = new List<(IReadOnlyList<string> Hashes, IReadOnlyList<string> Evaluations)>();
        foreach (var workers in new[] { 1, 2, 3, 5, 8 })
        {
            var options = LocalCluster.Options([.. common, .. settings.SelectMany(s => s.Split(' ')), $"workers={workers}"]);
            var run = await LocalCluster.RunAsync(folder.At($"w{workers}"), options, tasks: BuiltInTasks.Catalog());
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            runs.Add((run.Hashes, [.. File.ReadLines(Path.Combine(run.Folder, "evaluations.jsonl"))]));
        }

        Assert.Equal(40, runs[0].Hashes.Distinct().Count());
        Assert.Equal(2, runs[0].Evaluations.Count);
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.All(runs, run => Assert.Equal(runs[0].Evaluations, run.Evaluations));
    }

    /// <summary>
    /// Models of many chunks, whose gradients may be sent while their last backward pass goes on: with tied weights, which are final last, with BatchNorm, whose statistics are, and with layers
    /// that are differentiated in segments.
    /// </summary>
    [Theory]
    [InlineData("model.name=mlp model.hidden=700 model.dropout=0.2", Sgd, Clipped)]
    [InlineData("task=language-model data.name=devils-dictionary model.name=gpt model.window=16 model.width=128 model.layers=3 model.heads=2 model.dropout=0.1", AdamW)]
    [InlineData("task=language-model data.name=devils-dictionary model.name=gpt model.window=16 model.width=128 model.layers=3 model.heads=2", Lamb, "activationCheckpointing=3")]
    [InlineData("model.name=resnet model.width=48 model.norm=batch", Sgd, "batch.blocks=5")]
    public async Task What_is_sent_early_has_the_same_bits(params string[] settings)
    {
        using var folder = new TemporaryFolder();
        var runs = new List<IReadOnlyList<string>>();
        foreach (var workers in new[] { 1, 2, 3, 5 })
        {
            var options = LocalCluster.Options(
            [
                "task=image-classification", "data.name=digits", "batch.global=224", "batch.micro=28", "stop.epochs=0", "stop.steps=5", "evaluate.everyEpochs=0",
                .. settings.SelectMany(s => s.Split(' ')), $"workers={workers}",
            ]);
            var run = await LocalCluster.RunAsync(folder.At($"w{workers}"), options, tasks: BuiltInTasks.Catalog());
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            runs.Add(run.Hashes);
        }

        Assert.Equal(5, runs[0].Distinct().Count());
        Assert.All(runs, run => Assert.Equal(runs[0], run));
    }

    /// <summary>Activations that are computed again, by all workers or in a run of its own, change nothing: with dropout and tied weights, and with BatchNorm.</summary>
    [Theory]
    [InlineData(Gpt + " model.layers=5", AdamW)]
    [InlineData(BatchNorm + " model.depth=2", Sgd, Clipped)]
    public async Task Activation_checkpointing_gives_the_same_bits(params string[] settings)
    {
        using var folder = new TemporaryFolder();
        var runs = new List<(IReadOnlyList<string> Hashes, IReadOnlyList<string> Evaluations)>();
        foreach (var (workers, segments) in new[] { (1, 0), (1, 2), (2, 5), (3, 3) })
        {
            var options = LocalCluster.Options(
            [
                "task=image-classification", "data.name=digits", "batch.global=96", "batch.micro=7", "batch.blocks=5", "stop.epochs=0", "stop.steps=12", "evaluate.everyEpochs=0",
                .. settings.SelectMany(s => s.Split(' ')), $"workers={workers}", $"activationCheckpointing={segments}",
            ]);
            var run = await LocalCluster.RunAsync(folder.At($"w{workers}s{segments}"), options, tasks: BuiltInTasks.Catalog());
            Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
            Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.ToString().Contains("saves no memory", StringComparison.Ordinal));
            runs.Add((run.Hashes, [.. File.ReadLines(Path.Combine(run.Folder, "evaluations.jsonl"))]));
        }

        Assert.Equal(12, runs[0].Hashes.Distinct().Count());
        Assert.All(runs, run => Assert.Equal(runs[0].Hashes, run.Hashes));
        Assert.All(runs, run => Assert.Equal(runs[0].Evaluations, run.Evaluations));
    }
}
