using DistTrain.Auditing;
using DistTrain.Coordinator;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Records;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Tasks;

namespace DistTrain.Sweeping;

/// <summary>
/// The course of a run up to one of its checkpoints: as it was configured then, with the batches that were decided on the way, which its journal holds, and the gains that were measured, which its
/// lines hold.
/// </summary>
internal static class BranchCourse
{
    /// <summary>Reads it.</summary>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <param name="configuration">What its run was configured by then.</param>
    /// <exception cref="DataException">The run's folder lacks what it takes.</exception>
    public static (RunOptions Options, RunCourse Course) Of(CheckpointFolder checkpoint, IReadOnlyDictionary<string, string> configuration)
    {
        var (options, problems) = OptionsReader.ReadRun(configuration);
        if (problems.Count > 0)
        {
            throw new DataException($"{checkpoint.Path} has a configuration that this program does not read ({problems[0]}) Use the program that wrote it.");
        }

        var journal = CoordinatorHost.JournalIn(checkpoint.Run);
        try
        {
            var content = JournalText.Read(File.ReadAllBytes(journal));
            var course = content.DamagedLine is null ? RunMemory.Of(content.Entries).CourseOf(options) : null;
            return course is null ? throw Unknown(checkpoint, $"{journal} is damaged, or has no line of the data")
                : (options, course.Progress is null ? course : WithGains(course, checkpoint));
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            throw Unknown(checkpoint, refused.Message.TrimEnd('.'), refused);
        }
    }

    private static RunCourse WithGains(RunCourse course, CheckpointFolder checkpoint)
    {
        const string name = "metrics.jsonl";

        // Of a step that was computed twice the last line counts.
        var lines = new Dictionary<long, StepLine>();
        foreach (var line in LineFile<StepLine>.Read(Path.Combine(checkpoint.Run, name), EvidenceJson.Parse<StepLine>).Lines)
        {
            lines[line.Step] = line;
        }

        // The gain of a step follows from those up to two before it.
        for (var step = 1L; step < checkpoint.Step; step++)
        {
            var noise = lines.TryGetValue(step, out var line) ? line.Noise : throw Unknown(checkpoint, $"{Path.Combine(checkpoint.Run, name)} has no line of step {step}");
            course = course.With(new OperationEvidence(
                OperationKind.Train, step, double.NaN, noise?.Moments(course.Length.SamplesOfStep(step))));
        }

        return course;
    }

    private static DataException Unknown(CheckpointFolder checkpoint, string why, Exception? cause = null) =>
        new($"The rate and the batch at step {checkpoint.Step:N0} of {checkpoint.Run} are not known: {why}. Give a checkpoint in the folder of its run, with all that is in it.", cause);
}
