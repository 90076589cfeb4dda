using DistTrain;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

return await new DistTrainApp(args)
    .AddTask<LineModel, LineData>("line", context => new LineTask(context.Data.Samples))
    .RunAsync();

/// <summary>This task reads nothing below <c>model</c>, and one key below <c>data</c>.</summary>
internal sealed record LineModel;

internal sealed record LineData
{
    public long Samples { get; init; } = 1000;
}

/// <summary>Finds the line y = 3x - 1.</summary>
internal sealed class LineTask(long samples) : ITrainingTask
{
    public IDataset Training { get; } = new Points(samples, first: 0);

    public IDataset Validation { get; } = new Points(100, first: samples);

    public IReadOnlyList<string> Metrics => ["absoluteError"];

    public nn.Module BuildModel() => nn.Linear(1, 1);

    // A sum, never a mean: DistTrain divides once, by the weight of the whole step.
    public LossSum Loss(nn.Module model, TensorBatch batch) =>
        new(nn.functional.mse_loss(Answer(model, batch), batch.Targets, nn.Reduction.Sum), batch.Targets.shape[0]);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
    {
        metrics[0] += (Answer(model, batch) - batch.Targets).abs().sum().ToDouble();
        return Loss(model, batch);
    }

    public void Dispose()
    {
    }

    private static Tensor Answer(nn.Module model, TensorBatch batch) => ((nn.Module<Tensor, Tensor>)model).call(batch.Inputs);
}

/// <summary>Points of the line; reading a number twice gives the same point.</summary>
internal sealed class Points(long count, long first) : IDataset
{
    public long Count => count;

    public string Fingerprint => $"y=3x-1 {first} {count}";

    public TensorBatch Load(ReadOnlySpan<long> samples)
    {
        var inputs = new float[samples.Length];
        for (var i = 0; i < samples.Length; i++)
        {
            inputs[i] = (first + samples[i]) % 97 / 97f;
        }

        return new TensorBatch(
            tensor(inputs, samples.Length, 1), tensor(Array.ConvertAll(inputs, x => (3 * x) - 1), samples.Length, 1));
    }
}
