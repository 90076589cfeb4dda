using System.Runtime.InteropServices;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using TorchSharp;

namespace DistTrain.PyTorch;

/// <summary>A language model's task whose samples predict 1 to all of their tokens: sample i has (i * 37) mod window + 1 targets, the others do not count.</summary>
internal sealed class RaggedTask(ITrainingTask inner) : ITrainingTask
{
    public IDataset Training { get; } = new Ragged(inner.Training);

    public IDataset Validation => inner.Validation;

    public IReadOnlyList<string> Metrics => inner.Metrics;

    public torch.nn.Module BuildModel() => inner.BuildModel();

    public LossSum Loss(torch.nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

    public LossSum Evaluate(torch.nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

    public void Dispose() => inner.Dispose();

    private sealed class Ragged(IDataset inner) : IDataset
    {
        private const long Stride = 37;

        public long Count => inner.Count;

        public string Fingerprint => inner.Fingerprint + "/ragged";

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            var batch = inner.Load(samples);
            var window = (int)batch.Targets.shape[1];
            var targets = MemoryMarshal.Cast<byte, long>(batch.Targets.bytes);
            for (var i = 0; i < samples.Length; i++)
            {
                var counted = (int)(samples[i] * Stride % window) + 1;
                targets.Slice(i * window, window)[counted..].Fill(TextDataset.Ignored);
            }

            return batch;
        }
    }
}
