using System.Globalization;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>Plays the history of one seed: that of the environment variable, else some.</summary>
public sealed class SimulationReplay
{
    private const int Some = 4;

    [Fact]
    public void A_history_is_its_seed()
    {
        var text = Environment.GetEnvironmentVariable(Histories.SeedVariable);
        var seed = string.IsNullOrEmpty(text) ? Some : int.Parse(text, CultureInfo.InvariantCulture);
        var bug = Enum.TryParse<PlantedBug>(Environment.GetEnvironmentVariable(Histories.BugVariable), out var planted) ? planted : PlantedBug.None;
        var history = SimulationCase.Of(seed, bug);
        Assert.Equal(Histories.Play(history), Histories.Play(history));
        Assert.NotEqual(Histories.Play(history), Histories.Play(SimulationCase.Of(seed + 1, bug)));
    }
}
