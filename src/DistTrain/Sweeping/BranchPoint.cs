using System.Text.Json;
using System.Text.Json.Nodes;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Records;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Tasks;

namespace DistTrain.Sweeping;

/// <summary>
/// The checkpoint that the runs of a sweep begin with, so that what they find is the critical batch there (W. Merrill et al., arXiv 2505.23971, who call it branched training).
/// </summary>
/// <param name="Start">The checkpoint, for the runs' configurations.</param>
/// <param name="Run">The folder of the run that it belongs to.</param>
/// <param name="Step">The step after which it was taken.</param>
/// <param name="Loss">The validation loss there; null where that run was not evaluated at it.</param>
internal sealed record BranchPoint(StartOptions Start, string Run, long Step, double? Loss)
{
    /// <summary>Finds a checkpoint.</summary>
    /// <param name="path">A run's folder, or a checkpoint's.</param>
    /// <exception cref="DataException">There is none, or it is damaged.</exception>
    public static BranchPoint Find(string path)
    {
        var found = CheckpointFolder.Find(path);
        var start = new StartOptions { Checkpoint = Path.GetFullPath(found.Path), WeightsHash = found.Facts().WeightsHash };
        return new BranchPoint(start, found.Run, found.Step, LossAt(found.Run, found.Step));
    }

    /// <summary>The learning rate that its run had when it was taken.</summary>
    /// <param name="options">That run's configuration.</param>
    /// <param name="trainingSamples">Samples of the training data.</param>
    public double RateOf(RunOptions options, long trainingSamples)
    {
        var length = BatchSchedule.LengthOf(options, trainingSamples);
        return length.Schedule(options).RateOf(length.SamplesOf(Step), 1);
    }

    private static double? LossAt(string run, long step)
    {
        var file = Path.Combine(run, "evaluations.jsonl");
        try
        {
            return File.Exists(file)
                ? LineFile<JsonNode>.Read(file, line => JsonNode.Parse(line)).Lines
                    .Where(l => (long?)l["step"] == step && l["loss"] is JsonValue value && value.TryGetValue<double>(out var loss) && double.IsFinite(loss))
                    .Select(l => (double?)l["loss"])
                    .LastOrDefault()
                : null;
        }
        catch (Exception damaged) when (damaged is IOException or UnauthorizedAccessException or JsonException or InvalidOperationException or FormatException)
        {
            return null;
        }
    }
}
