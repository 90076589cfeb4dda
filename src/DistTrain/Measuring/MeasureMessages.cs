using System.Text.Json;
using System.Text.Json.Serialization;
using DistTrain.Core.Tuning;

namespace DistTrain.Measuring;

/// <summary>What a measuring process is asked, one line of JSON: one of its properties is set.</summary>
internal sealed record MeasureRequest
{
    /// <summary>Builds the model. The first request.</summary>
    public MeasureBegin? Begin { get; init; }

    /// <summary>Computes micro-batches of a size, alone.</summary>
    public MeasureSize? Size { get; init; }

    /// <summary>Says what people should know of the model, once it has been seen to train.</summary>
    public MeasureRemarks? Remarks { get; init; }
}

/// <summary>The run's configuration, and which of the measuring processes it is.</summary>
internal sealed record MeasureBegin(IReadOnlyDictionary<string, string> Configuration, int Number);

/// <summary>Samples of a micro-batch.</summary>
internal sealed record MeasureSize(int Size);

/// <summary>Most samples of the run's micro-batches; fewer may be enough to see the model train.</summary>
internal sealed record MeasureRemarks(int Micro);

/// <summary>What a measuring process answers, one line of JSON: one of its properties is set.</summary>
internal sealed record MeasureAnswer
{
    /// <summary>The model is built.</summary>
    public MeasuredModel? Model { get; init; }

    /// <summary>The micro-batches.</summary>
    public MicroBatchCost? Cost { get; init; }

    /// <summary>What people should know of the model, in sentences.</summary>
    public IReadOnlyList<string>? Remarks { get; init; }

    /// <summary>Whether the memory there is was not enough.</summary>
    public bool IsShort { get; init; }

    /// <summary>Why it cannot do what it is asked; it ends then.</summary>
    public string? Error { get; init; }
}

/// <summary>What a model is, and what the process held before there was one.</summary>
/// <param name="State">The vectors of the state.</param>
/// <param name="Parameters">Elements of each that are trained.</param>
/// <param name="RuntimeBytes">Program, libraries and data.</param>
/// <param name="Device">Where it computes.</param>
internal sealed record MeasuredModel(StateSize State, long Parameters, long RuntimeBytes, string Device);

/// <summary>The lines.</summary>
internal static class MeasureLine
{
    private static readonly JsonSerializerOptions Json = new(JsonSerializerDefaults.Web) { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault };

    /// <summary>A message as a line.</summary>
    public static string Write<T>(T message) => JsonSerializer.Serialize(message, Json);

    /// <summary>A line as a message; null where it is none.</summary>
    public static T? Read<T>(string line)
        where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(line, Json);
        }
        catch (JsonException)
        {
            return null;
        }
    }
}
