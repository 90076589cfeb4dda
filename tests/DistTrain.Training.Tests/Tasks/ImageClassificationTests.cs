using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tests.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Tasks;

/// <summary>The built-in task through the public interface, as a worker uses it.</summary>
[Collection(AloneInProcess.Name)]
public sealed class ImageClassificationTests
{
    private static readonly long[] Samples = [5, 900, 17, 33, 1436, 0, 250];

    [Theory]
    [InlineData("mlp")]
    [InlineData("cnn")]
    public void The_loss_of_a_batch_is_the_sum_of_the_losses_of_its_halves(string name)
    {
        using var task = Create(name);
        using var model = task.BuildModel();
        var whole = Loss(task, model, Samples);
        var first = Loss(task, model, Samples[..3]);
        var second = Loss(task, model, Samples[3..]);

        Assert.Equal((7, 3, 4), (whole.Weight, first.Weight, second.Weight));
        Assert.Equal(whole.Sum, first.Sum + second.Sum, 1e-4);
        Assert.True(whole.Sum / whole.Weight is > 1.5 and < 3.5);
    }

    [Fact]
    public void The_gradient_of_a_batch_is_the_sum_of_the_gradients_of_its_halves()
    {
        using var scope = NewDisposeScope();
        using var task = Create("cnn");
        using var model = task.BuildModel();
        Backward(Samples);
        var whole = model.parameters().Select(p => p.grad!.clone()).ToList();
        model.zero_grad();
        Backward(Samples[..3]);
        Backward(Samples[3..]);

        Assert.All(model.parameters().Zip(whole), p => Assert.True(p.First.grad!.allclose(p.Second, rtol: 1e-4, atol: 1e-5)));

        void Backward(long[] samples)
        {
            using var batch = task.Training.Load(samples);
            task.Loss(model, batch).Sum.backward();
        }
    }

    [Fact]
    public void Evaluation_counts_answers_and_keeps_no_graph()
    {
        using var scope = NewDisposeScope();
        using var task = Create("mlp");
        using var model = (nn.Module<Tensor, Tensor>)task.BuildModel();
        model.eval();
        using var batch = task.Validation.Load([0, 100, 200, 300]);
        double[] metrics = [10, 0, .. new double[100]];

        var loss = task.Evaluate(model, batch, metrics);

        var logits = model.call(batch.Inputs);
        var answers = Enumerable.Range(0, 4).Select(i => (Truth: batch.Targets[i].ToInt64(), Scores: logits[i].data<float>().ToArray())).ToList();
        Assert.Equal(["accuracy", "top5Accuracy"], task.Metrics);
        Assert.Equal(10 + answers.Count(a => a.Scores.Index().MaxBy(s => s.Item).Index == a.Truth), metrics[0]);
        Assert.Equal(answers.Count(a => a.Scores.Count(s => s > a.Scores[a.Truth]) < 5), metrics[1]);
        Assert.Equal(["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"], task.Classes);
        var confusions = new double[100];
        foreach (var (truth, scores) in answers)
        {
            confusions[truth * 10 + scores.Index().MaxBy(s => s.Item).Index]++;
        }

        Assert.Equal(confusions, metrics[2..]);
        Assert.Equal(4, loss.Weight);
        Assert.False(loss.Sum.requires_grad);
    }

    [Fact]
    public void A_micro_batch_leaves_no_tensor()
    {
        using var task = Create("cnn", ("model.dropout", "0.5"));
        using var model = task.BuildModel();
        double[] metrics = [0, 0, .. new double[100]];
        Once();
        var before = Tensor.TotalCount;
        for (var i = 0; i < 100; i++)
        {
            Once();
        }

        Assert.True(Tensor.TotalCount <= before);

        void Once()
        {
            using var batch = task.Training.Load(Samples);
            using var trained = task.Loss(model, batch).Sum;
            trained.backward();
            task.Evaluate(model, batch, metrics).Sum.Dispose();
        }
    }

    [Fact]
    public void A_few_steps_of_gradient_descent_learn_the_digits()
    {
        manual_seed(1);
        using var task = Create("mlp");
        using var model = task.BuildModel();
        using var optimizer = optim.SGD(model.parameters(), 0.1, momentum: 0.9);
        for (var step = 0; step < 60; step++)
        {
            using var scope = NewDisposeScope();
            using var batch = task.Training.Load([.. Enumerable.Range(0, 64).Select(i => (long)(step * 64 + i) % task.Training.Count)]);
            var loss = task.Loss(model, batch);
            optimizer.zero_grad();
            (loss.Sum / loss.Weight).backward();
            optimizer.step();
        }

        model.eval();
        double[] metrics = [0, 0, .. new double[100]];
        using var validation = task.Validation.Load([.. Enumerable.Range(0, 360).Select(i => (long)i)]);
        task.Evaluate(model, validation, metrics).Sum.Dispose();
        Assert.InRange(metrics[0] / 360, 0.9, 1);
    }

    [Fact]
    public void Every_mistake_in_the_tasks_own_keys_is_reported()
    {
        var problems = BuiltInTasks.Catalog().Check(Options(
            ("model.name", "rnn"), ("model.dropout", "1.5"), ("model.widht", "3"), ("data.name", "mnist")));

        Assert.Equal(["data.name", "model.dropout", "model.name", "model.widht"], problems.Select(p => p.Key).Order());
    }

    [Fact]
    public void A_folder_of_idx_files_can_be_trained_on()
    {
        using var folder = new TemporaryFolder();
        foreach (var (name, bytes) in IdxBytes.Folder())
        {
            folder.Write(name, bytes);
        }

        using var task = Create("mlp", ("data.name", "idx"), ("data.path", folder.Path), ("model.hidden", "5"));
        using var model = task.BuildModel();

        Assert.Equal(6 * 5 + 5 + 5 * 5 + 5 + 5 * 3 + 3, model.parameters().Sum(p => p.numel()));
        Assert.Equal(2, Loss(task, model, [0, 5]).Weight);
        Assert.Contains(
            "set model.name to mlp",
            Assert.Throws<DataException>(() => Create("cnn", ("data.name", "idx"), ("data.path", folder.Path))).Message,
            StringComparison.Ordinal);
    }

    private static ITrainingTask Create(string model, params (string Key, string Value)[] more)
    {
        var options = Options([("model.name", model), .. more]);
        var catalog = BuiltInTasks.Catalog();
        Assert.Empty(catalog.Check(options));
        return catalog.Create(options);
    }

    private static RunOptions Options(params (string Key, string Value)[] values)
    {
        var table = new Dictionary<string, string>
        {
            ["task"] = "image-classification",
            ["data.name"] = "digits",
            ["stop.epochs"] = "1",
        };
        foreach (var (key, value) in values)
        {
            table[key] = value;
        }

        var (options, problems) = OptionsReader.ReadRun(table);
        Assert.Empty(problems);
        return options;
    }

    private static (double Sum, long Weight) Loss(ITrainingTask task, nn.Module model, long[] samples)
    {
        using var batch = task.Training.Load(samples);
        var loss = task.Loss(model, batch);
        using var sum = loss.Sum;
        return (sum.ToSingle(), loss.Weight);
    }
}
