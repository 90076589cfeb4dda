using static TorchSharp.torch;

namespace DistTrain.Training.Tasks;

/// <summary>
/// What is trained: a model, its data, and the loss of a micro-batch. This is all a program states; cutting the global batch up, exchanging
/// gradients and updating weights are DistTrain's. The built-in tasks use nothing but this interface.
/// </summary>
/// <remarks>
/// A task is created in every worker process, and also where only the sizes of the data are wanted (<c>plan</c>): the constructor opens data
/// but does not touch torch. Its own methods are called from one thread at a time, and so are those of its two data sets, of which one loads while the model computes: see <see cref="IDataset"/>.
/// </remarks>
public interface ITrainingTask : IDisposable
{
    /// <summary>The samples that are trained on.</summary>
    IDataset Training { get; }

    /// <summary>The samples that are evaluated, disjoint from <see cref="Training"/>.</summary>
    IDataset Validation { get; }

    /// <summary>The names of the sums that <see cref="Evaluate"/> adds to, such as <c>accuracy</c>; shown divided by the weight.</summary>
    IReadOnlyList<string> Metrics { get; }

    /// <summary>The names of the classes whose confusions <see cref="Evaluate"/> counts, 178 at most (<see cref="DistTrain.Core.Runs.EvaluationForm.MostSums"/>); without them it counts none.</summary>
    IReadOnlyList<string> Classes => [];

    /// <summary>Whether the loss is a negative log-likelihood in nats, so that its exponential is shown as <c>perplexity</c>.</summary>
    bool HasPerplexity => false;

    /// <summary>
    /// Builds the model on the CPU in fp32. Initial weights may be drawn from torch's generator, which is seeded before the call; only one worker's
    /// are used.
    /// </summary>
    nn.Module BuildModel();

    /// <summary>The loss of a micro-batch in training mode, as a sum and never as a mean: it is divided once, by the weight of the whole step.</summary>
    /// <param name="model">What <see cref="BuildModel"/> returned, in training mode. Its parameters are the update's to change, and nobody else's: a loss that writes to one is refused.</param>
    /// <param name="batch">The samples; disposed by the caller.</param>
    LossSum Loss(nn.Module model, TensorBatch batch);

    /// <summary>The loss of a micro-batch in evaluation mode, without gradient, and its metrics.</summary>
    /// <param name="model">What <see cref="BuildModel"/> returned, in evaluation mode.</param>
    /// <param name="batch">The samples; disposed by the caller.</param>
    /// <param name="metrics">
    /// One sum for each of <see cref="Metrics"/>, to be added to; behind them, for n <see cref="Classes"/>, n x n counts: a row for the class that samples have, a column
    /// for the one that the model gives them.
    /// </param>
    LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics);
}

/// <summary>A loss before division.</summary>
/// <param name="Sum">A scalar tensor: the sum of the losses of all samples (or tokens) of the micro-batch.</param>
/// <param name="Weight">How many samples (or tokens) the sum is over; 0 or more.</param>
public readonly record struct LossSum(Tensor Sum, long Weight);
