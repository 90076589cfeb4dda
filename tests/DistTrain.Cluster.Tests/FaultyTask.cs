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

    /// <summary>Done before the model is built.</summary>
    public Action BeforeBuild { get; init; } = () => { };

    public nn.Module BuildModel()
    {
        BeforeBuild();
        return inner.BuildModel();
    }

    public LossSum Loss(nn.Module model, TensorBatch batch) => spoil(inner.Loss(model, batch), batch);

    /// <summary>Done before a micro-batch is evaluated.</summary>
    public Action<TensorBatch> BeforeEvaluate { get; init; } = _ => { };

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
    {
        BeforeEvaluate(batch);
        return inner.Evaluate(model, batch, metrics);
    }

    public void Dispose() => inner.Dispose();
}
