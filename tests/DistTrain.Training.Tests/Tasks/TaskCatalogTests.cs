using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Tasks;

/// <summary>What a catalog says of a task when it creates it.</summary>
public sealed class TaskCatalogTests
{
    [Fact]
    public void A_task_of_as_many_classes_as_a_message_between_workers_holds_is_created()
    {
        using var task = Create(178);
        Assert.Equal(178, task.Classes.Count);
    }

    [Theory]
    [InlineData(179, "32042 sums")]
    [InlineData(50_000, "2500000001 sums")]
    public void One_of_more_is_refused_and_disposed_of(int classes, string sums)
    {
        var isDisposed = false;
        var thrown = Assert.Throws<DataException>(() => Create(classes, () => isDisposed = true));
        Assert.StartsWith($"An evaluation of the task pattern has {sums}, its metrics (1) and the confusions of {classes} classes", thrown.Message, StringComparison.Ordinal);
        Assert.Contains("more than 178", thrown.Message, StringComparison.Ordinal);
        Assert.True(isDisposed);
    }

    private static ITrainingTask Create(int classes, Action? disposed = null) => new TaskCatalog()
        .Add<PatternModel, PatternData>("pattern", context => new ManyClasses(new PatternTask(context), classes, disposed ?? (() => { })))
        .Create(LocalCluster.Options());

    private sealed class ManyClasses(ITrainingTask inner, int classes, Action disposed) : ITrainingTask
    {
        public IDataset Training => inner.Training;

        public IDataset Validation => inner.Validation;

        public IReadOnlyList<string> Metrics => inner.Metrics;

        public IReadOnlyList<string> Classes { get; } = [.. Enumerable.Range(0, classes).Select(c => $"{c}")];

        public nn.Module BuildModel() => inner.BuildModel();

        public LossSum Loss(nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

        public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

        public void Dispose()
        {
            inner.Dispose();
            disposed();
        }
    }
}
