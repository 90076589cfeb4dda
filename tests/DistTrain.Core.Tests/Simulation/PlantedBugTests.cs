namespace DistTrain.Core.Tests.Simulation;

/// <summary>What the simulation is worth: mistakes that are made on purpose are found, each by the rule it breaks, and each can be played again.</summary>
public sealed class PlantedBugTests(ITestOutputHelper output)
{
    private const int MostSeeds = 300;

    public static TheoryData<string, string> Bugs => new()
    {
        { nameof(PlantedBug.LostBlockForgotten), nameof(Invariants.EveryBlockIsContributed) },
        { nameof(PlantedBug.StepAppliedTwice), nameof(Invariants.StepsAreAppliedOnce) },
        { nameof(PlantedBug.PartialApply), nameof(Invariants.NothingChangesBeforeTheStepIsWhole) },
        { nameof(PlantedBug.StalePartialFoldKept), nameof(Invariants.PartialFoldsAreDiscarded) },
        { nameof(PlantedBug.OwnerAheadOfItsApply), nameof(Invariants.OwnersAreNotAheadOfTheirApply) },
        { nameof(PlantedBug.StaleGenerationAccepted), nameof(Invariants.StaleGenerationsAreRefused) },
        { nameof(PlantedBug.BlockPlannedTwice), nameof(Invariants.NoBlockIsContributedTwice) },
        { nameof(PlantedBug.StaleTermAccepted), nameof(Invariants.StaleTermsAreRefused) },
        { nameof(PlantedBug.MomentsForgotten), nameof(Invariants.RatesAreThoseOfTheRun) },
        { nameof(PlantedBug.ChangeOfAnotherList), nameof(Invariants.AllMembersKnowTheSame) },
    };

    [Theory]
    [MemberData(nameof(Bugs))]
    public void It_is_found(string bug, string invariant)
    {
        var planted = Enum.Parse<PlantedBug>(bug);
        for (var seed = 0; seed < MostSeeds; seed++)
        {
            try
            {
                Histories.Play(SimulationCase.Of(seed, planted));
            }
            catch (InvalidOperationException e) when (e.InnerException is InvariantBrokenException broken)
            {
                output.WriteLine($"{bug} was found by {broken.Invariant} in history {seed + 1}. {e.Message}");
                Assert.Equal(invariant, broken.Invariant);
                Assert.Contains($"{Histories.SeedVariable}={seed} ", e.Message, StringComparison.Ordinal);
                return;
            }
        }

        Assert.Fail($"{bug} was not found in {MostSeeds} histories.");
    }

    [Fact]
    public void Every_bug_has_its_rule() =>
        Assert.Equal(Enum.GetNames<PlantedBug>().Except([nameof(PlantedBug.None)]).Order(), Bugs.Select(row => row.Data.Item1).Order());
}
