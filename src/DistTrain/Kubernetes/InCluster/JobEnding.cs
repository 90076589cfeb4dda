using DistTrain.Core;
using DistTrain.Launching;
using DistTrain.Verbs;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>How a coordinator ends whose exit code a Job reads: 0 completes the Job, 2 fails it at once, and after anything else another pod is started, which resumes.</summary>
/// <param name="Code">The exit code.</param>
/// <param name="FreesWorkers">Whether no coordinator comes after it, so that the workers are set to none.</param>
internal readonly record struct JobEnding(int Code, bool FreesWorkers)
{
    /// <summary>Decides.</summary>
    /// <param name="code">The exit code where there is no Job.</param>
    /// <param name="outcome">How the run ended; null where none began, or something else than a run failed.</param>
    /// <param name="wasAsked">Whether this process was asked to end.</param>
    public static JobEnding Of(int code, RunOutcome? outcome, bool wasAsked) => outcome switch
    {
        { Success: true, Status: RunStatus.Completed } => new(ExitCode.Success, true),
        { Success: true } => new(ExitCodes.Terminated, false),
        _ when code == ExitCode.Usage => new(ExitCode.Usage, true),
        _ when wasAsked => new(ExitCodes.Terminated, false),
        { IsFinal: true } => new(ExitCode.Usage, true),
        _ => new(code, false),
    };
}
