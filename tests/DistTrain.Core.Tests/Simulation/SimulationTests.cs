using System.Globalization;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>Runs by the thousand. A failure names its seed, with which it repeats exactly.</summary>
public sealed class SimulationTests(ITestOutputHelper output)
{
    private const int FewerHistories = 300;

    [Fact]
    public void Whatever_happens_every_rule_holds_and_the_run_completes()
    {
        var text = Environment.GetEnvironmentVariable(Histories.CountVariable);
        var count = string.IsNullOrEmpty(text) ? Histories.Usual : int.Parse(text, CultureInfo.InvariantCulture);
        var counts = Histories.PlayAll(count, seed => SimulationCase.Of(seed));
        output.WriteLine($"{count} histories: {counts}");

        // Each way of going on was gone, often.
        foreach (var (what, times, atLeast) in new[]
        {
            ("returns to a checkpoint", counts.Rollbacks, 0.3),
            ("runs that went on from what workers brought along", counts.Resumptions, 0.1),
            ("restarts of the coordinator", counts.Restarts, 0.2),
            ("nodes kept", counts.KeptNodes, 0.5),
            ("roots handed on", counts.HandedRoots, 0.02),
            ("early arrivals", counts.EarlyArrivals, 5),
            ("stale calls", counts.StaleCalls, 0.5),
            ("stale terms", counts.StaleTerms, 0.005),
            ("broken links", counts.BrokenLinks, 0.05),
            ("halvings of micro-batches", counts.Halvings, 0.1),
            ("sizes of micro-batches found", counts.Searches, 0.2),
            ("workers without memory for them", counts.ShortWorkers, 0.02),
            ("batches that were decided on", counts.Decisions, 0.1),
            ("runs that ended early", counts.EarlyStops, 0.15),
            ("steps with a gain", counts.Gains, 0.5),
            ("changes of the members that were left out", counts.LeftOut, 0.02),
            ("failed checkpoints", counts.FailedCheckpoints, 0.2),
        })
        {
            Assert.True(times > atLeast * count, $"There were {times} {what} in {count} histories.");
        }
    }

    /// <summary>26659: a run that went back and was resumed waited for ever to publish its last checkpoint. 41080: what a lost worker had reported of a step outlived the step's being cut up anew.</summary>
    [Theory]
    [InlineData(26659)]
    [InlineData(41080)]
    public void A_history_that_once_broke_a_rule_holds(int seed) => Histories.Play(SimulationCase.Of(seed).Constant());

    [Fact]
    public void A_run_without_faults_completes_whatever_the_order()
    {
        var counts = Histories.PlayAll(FewerHistories, seed => SimulationCase.Of(seed) with { Faults = 0 });
        Assert.Equal((0, 0, 0, 0), (counts.Deserted, counts.Rollbacks, counts.Restarts, counts.FailedCheckpoints));
    }

    [Fact]
    public void A_history_that_nobody_has_seen_holds_as_well()
    {
        var seed = (int)(TimeProvider.System.GetTimestamp() & int.MaxValue);
        output.WriteLine($"Seed {seed}.");
        Histories.Play(SimulationCase.Of(seed));
    }
}
