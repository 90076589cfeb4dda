using DistTrain.Core;
using DistTrain.Kubernetes.InCluster;

namespace DistTrain.Cli.Tests.Kubernetes.InCluster;

/// <summary>What a Job reads from an exit code.</summary>
public sealed class JobEndingTests
{
    public static TheoryData<int, RunOutcome?, bool, int, bool> Endings => new()
    {
        { 0, new RunOutcome(true, "Completed."), false, 0, true },
        { 0, new RunOutcome(true, "Completed."), true, 0, true },
        { 0, new RunOutcome(true, "Stopped.") { Status = RunStatus.Stopped }, true, 143, false },
        { 0, new RunOutcome(true, "Stopped.") { Status = RunStatus.Stopped }, false, 143, false },
        { 1, new RunOutcome(false, "The state was not written in time."), true, 143, false },
        { 1, null, true, 143, false },
        { 1, new RunOutcome(false, "All workers were lost."), false, 1, false },
        { 1, new RunOutcome(false, "It failed as it did before.") { IsFinal = true }, false, 2, true },
        { 1, null, false, 1, false },
        { 2, null, false, 2, true },
    };

    [Theory]
    [MemberData(nameof(Endings))]
    public void Workers_are_freed_where_no_coordinator_comes_after_this_one(int code, RunOutcome? outcome, bool wasAsked, int expected, bool frees) =>
        Assert.Equal(new JobEnding(expected, frees), JobEnding.Of(code, outcome, wasAsked));
}
