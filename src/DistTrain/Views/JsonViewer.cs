using System.Text.Encodings.Web;
using System.Text.Json;
using System.Text.Json.Nodes;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Views;

/// <summary>One JSON object per event and line, for programs. The end of the run is not an event: it is the summary, which comes last.</summary>
internal sealed class JsonViewer(TextWriter output) : IRunViewer
{
    private static readonly JsonSerializerOptions Compact = new() { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping };
    private readonly Lock _gate = new();

    /// <inheritdoc/>
    public void Show(V1.RunEvent happened)
    {
        if (Translate(happened) is { } json)
        {
            lock (_gate)
            {
                output.WriteLine(json.ToJsonString(Compact));
                output.Flush();
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>An event as an object; null for one that is not shown.</summary>
    public static JsonObject? Translate(V1.RunEvent happened) => happened.BodyCase switch
    {
        V1.RunEvent.BodyOneofCase.Started => new JsonObject
        {
            ["event"] = "started",
            ["name"] = happened.Started.Name,
            ["folder"] = happened.Started.Folder,
            ["trainingSamples"] = happened.Started.TrainingSamples,
            ["totalSteps"] = happened.Started.TotalSteps,
            ["totalSamples"] = happened.Started.TotalSamples,
            ["globalBatch"] = happened.Started.GlobalBatch,
            ["microBatch"] = happened.Started.MicroBatch,
            ["worldSize"] = happened.Started.WorldSize,
            ["parameters"] = happened.Started.Parameters,
        },
        V1.RunEvent.BodyOneofCase.Step => Step(happened.Step),
        V1.RunEvent.BodyOneofCase.Evaluation => new JsonObject
        {
            ["event"] = "evaluation",
            ["step"] = happened.Evaluation.Step,
            ["epoch"] = happened.Evaluation.Epoch,
            ["samples"] = happened.Evaluation.Samples,
            ["loss"] = Number(happened.Evaluation.Loss),
            ["metrics"] = new JsonObject(happened.Evaluation.Metrics.OrderBy(m => m.Key, StringComparer.Ordinal)
                .Select(m => KeyValuePair.Create(m.Key, (JsonNode?)Number(m.Value)))),
        },
        V1.RunEvent.BodyOneofCase.Happening => new JsonObject
        {
            ["event"] = "happening",
            ["name"] = happened.Happening.Name,
            ["sentence"] = happened.Happening.Sentence,
        },
        _ => null,
    };

    private static JsonObject Step(V1.StepDone step)
    {
        var json = new JsonObject
        {
            ["event"] = "step",
            ["step"] = step.Step,
            ["epoch"] = step.Epoch,
            ["samples"] = step.Samples,
            ["loss"] = Number(step.Loss),
            ["lr"] = Number(step.LearningRate),
            ["gradNorm"] = Number(step.GradientNorm),
            ["skipped"] = step.Skipped,
            ["worldSize"] = step.WorldSize,
            ["generation"] = step.Generation,
            ["stepMs"] = Number(step.StepMilliseconds),
            ["samplesPerSecond"] = Number(step.SamplesPerSecond),
            ["weightsHash"] = step.WeightsHash,
        };
        if (step.Gain > 0)
        {
            json["gain"] = Number(step.Gain);
            json["totalSteps"] = step.TotalSteps;
            json["totalSamples"] = step.TotalSamples;
        }

        if (step.Noise is { } noise)
        {
            json["noise"] = Noise(noise);
        }

        return json;
    }

    private static JsonObject Noise(V1.NoiseScale noise)
    {
        var json = new JsonObject
        {
            ["scale"] = Number(noise.Value),
            ["low"] = Number(noise.Low),
            ["high"] = Number(noise.High),
            ["advice"] = noise.Advice,
        };
        if (noise.Preconditioned is { } preconditioned)
        {
            json["preconditioned"] = Noise(preconditioned);
        }

        return json;
    }

    /// <summary>JSON has no word for a number that is not finite; a text says which it is.</summary>
    private static JsonValue Number(double value) =>
        double.IsFinite(value) ? JsonValue.Create(value) : JsonValue.Create(value.ToString());
}
