using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests;

/// <summary>Events as a coordinator sends them.</summary>
internal static class Events
{
    public const string Summary =
        """{"status":"finished","steps":4,"samples":40,"finalLoss":0.25,"validation":{"loss":0.25,"accuracy":0.875},"weightsSha256":"abc123","wallSeconds":2.5,"samplesPerSecond":16}""";

    public static V1.RunEvent Started(long steps, long samples, int workers = 2) => new()
    {
        Started = new V1.RunStarted
        {
            Name = "toy",
            Folder = "runs/toy",
            TrainingSamples = samples,
            TotalSteps = steps,
            TotalSamples = samples,
            GlobalBatch = 10,
            MicroBatch = 4,
            WorldSize = workers,
            Parameters = 123,
        },
    };

    public static V1.RunEvent Step(long step, long samples, double loss = 1, double speed = 100, bool skipped = false, int workers = 2, ulong generation = 1) => new()
    {
        Step = new V1.StepDone
        {
            Step = step,
            Epoch = 0,
            Samples = samples,
            Loss = loss,
            LearningRate = 0.1,
            SamplesPerSecond = speed,
            Skipped = skipped,
            WorldSize = workers,
            Generation = generation,
            WeightsHash = $"{step:x16}",
        },
    };

    public static V1.RunEvent Evaluation(long step, double loss, double accuracy) => new()
    {
        Evaluation = new V1.EvaluationDone { Step = step, Loss = loss, Metrics = { ["accuracy"] = accuracy } },
    };

    public static V1.RunEvent Happening(string sentence) => new() { Happening = new V1.Happening { Name = "test", Sentence = sentence } };

    public static V1.RunEvent Finished(bool success, string sentence) => new()
    {
        Finished = new V1.RunFinished { Success = success, Sentence = sentence, SummaryJson = success ? Summary : "" },
    };
}
