using System.Security.Cryptography;
using System.Text;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.TestKit;

/// <summary>The keys of <c>model</c> that <see cref="PatternTask"/> knows.</summary>
public sealed record PatternModel
{
    public string Name { get; init; } = "";

    public int Hidden { get; init; } = 24;
}

/// <summary>The keys of <c>data</c> that <see cref="PatternTask"/> knows.</summary>
public sealed record PatternData
{
    public string Name { get; init; } = "";

    public string? Path { get; init; }

    public long Samples { get; init; } = 203;
}

/// <summary>
/// A small classification with dropout that learns in milliseconds: the bits of a number decide its class. Real enough that a wrong order of
/// additions shows in the bits of the weights.
/// </summary>
public sealed class PatternTask : ITrainingTask
{
    private const int Bits = 12;
    private const int Classes = 5;
    private readonly int _hidden;

    public PatternTask(TaskContext<PatternModel, PatternData> context)
    {
        _hidden = context.Model.Hidden;
        var salt = context.Data.Path is null ? 0 : context.Data.Path.Length;
        Training = new PatternDataset(context.Data.Samples, salt);
        Validation = new PatternDataset(57, 1000 + salt);
    }

    /// <summary>A catalog with this task as <c>pattern</c>.</summary>
    public static TaskCatalog Catalog { get; } =
        new TaskCatalog().Add<PatternModel, PatternData>("pattern", context => new PatternTask(context));

    public IDataset Training { get; }

    public IDataset Validation { get; }

    public IReadOnlyList<string> Metrics => ["accuracy"];

    public nn.Module BuildModel() => nn.Sequential(
        nn.Linear(Bits, _hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(_hidden, _hidden), nn.ReLU(), nn.Linear(_hidden, Classes));

    public LossSum Loss(nn.Module model, TensorBatch batch) => LossOf(((nn.Module<Tensor, Tensor>)model).call(batch.Inputs), batch);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
    {
        var scores = ((nn.Module<Tensor, Tensor>)model).call(batch.Inputs);
        metrics[0] += scores.argmax(1).eq(batch.Targets).sum().ToDouble();
        return LossOf(scores, batch);
    }

    public void Dispose()
    {
    }

    private static LossSum LossOf(Tensor scores, TensorBatch batch) =>
        new(nn.functional.cross_entropy(scores, batch.Targets, reduction: nn.Reduction.Sum), batch.Targets.shape[0]);

    private sealed class PatternDataset(long count, int salt) : IDataset
    {
        public long Count => count;

        public string Fingerprint => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes($"{count}/{salt}")));

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            var inputs = new float[samples.Length * Bits];
            var targets = new long[samples.Length];
            for (var i = 0; i < samples.Length; i++)
            {
                var word = ((ulong)(samples[i] + salt) * 2654435761) >> 7;
                for (var bit = 0; bit < Bits; bit++)
                {
                    inputs[(i * Bits) + bit] = ((word >> bit) & 1) == 1 ? 1.3f : -0.7f;
                }

                targets[i] = (long)(word % 32 % Classes);
            }

            return new TensorBatch(tensor(inputs, samples.Length, Bits), tensor(targets));
        }
    }
}
