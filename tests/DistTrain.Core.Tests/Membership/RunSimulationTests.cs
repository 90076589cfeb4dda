namespace DistTrain.Core.Tests.Membership;

/// <summary>Runs by the thousand. A failure names its seed, with which it repeats exactly.</summary>
public sealed class RunSimulationTests
{
    [Fact]
    public void A_run_without_trouble_completes_whatever_the_order()
    {
        for (var seed = 0; seed < 300; seed++)
        {
            var run = new RunSimulation(seed, troubles: 0, most: 4);
            run.Play();
            Assert.Equal(0, run.Rollbacks);
            Assert.Equal(0, run.Recomputed);
        }
    }

    [Fact]
    public void Whoever_dies_falls_silent_joins_or_leaves_the_run_completes_with_the_same_bits()
    {
        var (rollbacks, kept, handed, generations) = (0, 0, 0, 0UL);
        for (var seed = 0; seed < 2000; seed++)
        {
            var run = new RunSimulation(seed, troubles: 1 + (seed % 12), most: 2 + (seed % 7));
            run.Play();
            (rollbacks, kept, handed, generations) = (rollbacks + run.Rollbacks, kept + run.KeptNodes, handed + run.HandedRoots, generations + run.Generations);
        }

        // Each way of going on was gone, often.
        Assert.True(rollbacks > 100 && kept > 1000 && handed > 100 && generations > 4000, $"{rollbacks} rollbacks, {kept} nodes kept, {handed} roots handed on, {generations} generations");
    }
}
