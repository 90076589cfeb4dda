using static TorchSharp.torch;

namespace DistTrain.Training.Tasks;

/// <summary>
/// What a task implements beside <see cref="ITrainingTask"/> so that the verb <c>predict</c> can ask its trained model. Training does not need it.
/// </summary>
public interface IPredictor
{
    /// <summary>Which properties of <see cref="PredictRequest"/> it regards, by name; a command line that gives others is refused.</summary>
    IReadOnlyCollection<string> Takes { get; }

    /// <summary>Asks the model.</summary>
    /// <param name="model">What <see cref="ITrainingTask.BuildModel"/> returned, with the weights of a checkpoint, in evaluation mode, without gradient.</param>
    /// <param name="request">The question; a task leaves aside what does not concern it.</param>
    /// <returns>
    /// Pieces of the answer, shown one after the other as they come. They are drawn on one thread, but no dispose scope may be open between two of them.
    /// Equal requests give equal answers on one kind of host.
    /// </returns>
    /// <exception cref="DataException">What the request names is missing, damaged or of the wrong kind.</exception>
    IEnumerable<Prediction> Predict(nn.Module model, PredictRequest request);
}

/// <summary>A piece of an answer.</summary>
/// <param name="Text">For people, with the line breaks it holds and no others.</param>
/// <param name="Fields">The same for programs: numbers and texts by name; null where the text says it all.</param>
public sealed record Prediction(string Text, IReadOnlyDictionary<string, object>? Fields = null);

/// <summary>A question to a trained model.</summary>
public sealed record PredictRequest
{
    /// <summary>The beginning of a text that is to be continued; null to begin anew.</summary>
    public string? Prompt { get; init; }

    /// <summary>How many bytes of text are wanted, 0 or more.</summary>
    public int Length { get; init; } = 500;

    /// <summary>What the logits are divided by before one is drawn: below 1 the likely becomes likelier, at 0 the likeliest is taken.</summary>
    public double Temperature { get; init; } = 0.8;

    /// <summary>Seed of what is drawn.</summary>
    public ulong Seed { get; init; } = 1;

    /// <summary>A file of samples without answers; null for the validation data.</summary>
    public string? Input { get; init; }

    /// <summary>How many samples are predicted at most, 1 or more.</summary>
    public int Count { get; init; } = 10;
}
