using System.Diagnostics;
using DistTrain.Training.Models;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Benchmarks.Overlap;

/// <summary>
/// MLPs of 10 million parameters. <c>deep</c> has ten layers of one width, whose gradients become final one after the other; <c>wide</c> has two hidden ones, of which one is most of the model.
/// </summary>
/// <param name="model">Which of them.</param>
internal sealed class LayeredTask(string model) : ITrainingTask
{
    private const int Depth = 10;
    private const int Width = 1024;
    private const int Inputs = 784;
    private const int Classes = 10;

    public IDataset Training { get; } = new Constants(model == "deep" ? Width : Inputs);

    public IDataset Validation => Training;

    public IReadOnlyList<string> Metrics => [];

    public nn.Module BuildModel() => model == "deep"
        ? nn.Sequential(Enumerable.Range(0, Depth).SelectMany(i => new (string, nn.Module<Tensor, Tensor>)[] { ($"layer{i}", nn.Linear(Width, Width)), ($"relu{i}", nn.ReLU()) }).ToArray())
        : new Mlp(Inputs, Classes, hidden: 2785);

    /// <summary>When the last forward pass had ended.</summary>
    public long ForwardEnded { get; private set; }

    public LossSum Loss(nn.Module module, TensorBatch batch)
    {
        var loss = new LossSum(((nn.Module<Tensor, Tensor>)module).call(batch.Inputs).square().sum(), batch.Targets.shape[0]);
        ForwardEnded = Stopwatch.GetTimestamp();
        return loss;
    }

    public LossSum Evaluate(nn.Module module, TensorBatch batch, Span<double> metrics) => Loss(module, batch);

    public void Dispose()
    {
    }

    private sealed class Constants(int inputs) : IDataset
    {
        public long Count => 1 << 20;

        public string Fingerprint => $"{inputs}";

        public TensorBatch Load(ReadOnlySpan<long> samples) => new(full(samples.Length, inputs, 0.01f), zeros(samples.Length, ScalarType.Int64));
    }
}
