using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary><see cref="PatternTask"/> with something wrong in its loss.</summary>
internal sealed class FaultyTask(PatternTask inner, Func<LossSum, TensorBatch, LossSum> spoil) : ITrainingTask
{
    public IDataset Training => inner.Training;

    public IDataset Validation => inner.Validation;

    public IReadOnlyList<string> Metrics => inner.Metrics;

    public static TaskCatalog Catalog(Func<LossSum, TensorBatch, LossSum> spoil) =>
        new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new FaultyTask(new PatternTask(context), spoil));

    public nn.Module BuildModel() => inner.BuildModel();

    public LossSum Loss(nn.Module model, TensorBatch batch) => spoil(inner.Loss(model, batch), batch);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

    public void Dispose() => inner.Dispose();
}
