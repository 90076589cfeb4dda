using static TorchSharp.torch;

namespace DistTrain.Training.Tasks;

/// <summary>Samples that can be read by number, in any order. Reading the same numbers gives the same bytes in every process.</summary>
/// <remarks>
/// Both methods are called while the task's loss or evaluation runs on another thread, and from varying threads, but never twice at once for one task: not for training and validation either. So they share
/// nothing that changes with the model or its loss, and do not draw from torch's generator, which the model draws from meanwhile. What is read may turn out not to be wanted.
/// </remarks>
public interface IDataset
{
    /// <summary>How many samples; they are numbered from 0.</summary>
    long Count { get; }

    /// <summary>A hash of the content, in hexadecimal: two workers whose data differ must not train together.</summary>
    string Fingerprint { get; }

    /// <summary>Reads samples into new tensors.</summary>
    /// <param name="samples">Numbers 0..Count-1, at least one, in the order of the batch.</param>
    TensorBatch Load(ReadOnlySpan<long> samples);

    /// <summary>
    /// Reads samples to be trained on, changed at random where the data set does that. Randomness comes from the keys and from nothing else, and
    /// never from torch: then a sample is changed alike wherever it is read.
    /// </summary>
    /// <param name="samples">Numbers 0..Count-1, at least one, in the order of the batch.</param>
    /// <param name="keys">A key for each sample, that of <see cref="Core.Numerics.Hash64.SampleKey"/>.</param>
    TensorBatch LoadForTraining(ReadOnlySpan<long> samples, ReadOnlySpan<ulong> keys) => Load(samples);
}

/// <summary>The tensors of one micro-batch.</summary>
/// <param name="inputs">What the model is given; the first dimension is the sample.</param>
/// <param name="targets">What it should answer; the first dimension is the sample.</param>
public sealed class TensorBatch(Tensor inputs, Tensor targets) : IDisposable
{
    /// <summary>What the model is given; the first dimension is the sample.</summary>
    public Tensor Inputs => inputs;

    /// <summary>What it should answer; the first dimension is the sample.</summary>
    public Tensor Targets => targets;

    /// <inheritdoc/>
    public void Dispose()
    {
        inputs.Dispose();
        targets.Dispose();
    }
}
