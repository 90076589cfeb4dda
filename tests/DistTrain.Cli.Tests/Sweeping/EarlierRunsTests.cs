using DistTrain.Configuration;
using DistTrain.Core.BatchScience;
using DistTrain.Launching;
using DistTrain.Sweeping;
using DistTrain.Verbs;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>What earlier commands left in a sweep's folder: their runs are reported with the others, unless they are not comparable.</summary>
public sealed class EarlierRunsTests : IDisposable
{
    private readonly SweptFolder _folder = new();
    private readonly StringWriter _error = new();

    public EarlierRunsTests()
    {
        foreach (var cell in SweptFolder.Cells(16, 64, 512))
        {
            _folder.Write(cell);
            Configure(cell, _folder.Settings([cell]));
        }
    }

    public void Dispose()
    {
        _folder.Dispose();
        _error.Dispose();
    }

    [Fact]
    public async Task Runs_that_are_not_asked_for_again_stay_in_the_report()
    {
        Directory.CreateDirectory(Path.Combine(_folder.Path, SweepFolder.Cells, "notes"));
        var settings = _folder.Settings([new SweepCell("sgd", 64, 0.1)], target: 0.1);
        var results = await SweepAsync(settings);
        Assert.Equal(SweptFolder.Cells(16, 64, 512), results.Select(r => r.Outcome.Cell));
        Assert.Equal("", _error.ToString());

        var report = SweepReport.Of(settings, results);
        Assert.Contains(". 9 runs of at most ", report.Frame, StringComparison.Ordinal);
        Assert.Equal(10, SweepText.Csv(report).TrimEnd('\n').Split('\n').Length);
        Assert.Equal(100, Assert.Single(report.Analysis.Optimizers).Fit!.CriticalBatch.Value, 15.0);
    }

    [Fact]
    public async Task Runs_of_another_configuration_are_refused_with_the_difference()
    {
        var settings = _folder.Settings([new SweepCell("sgd", 64, 0.1)]);
        var other = settings with { Options = settings.Options with { Optimizer = settings.Options.Optimizer with { Momentum = 0.5 } } };
        SweptFolder.Cells(512).ToList().ForEach(c => Configure(c, other));
        var refused = await Assert.ThrowsAsync<SweepException>(() => SweepAsync(settings));
        Assert.True(refused.IsUsage);
        Assert.Matches(
            "^.*/cells/sgd-b512-r0.4 and 2 other runs: optimizer.momentum is '[0-9.]+': was 0.5 when the run began, and decides its bits: give it that value, or begin a new run. Or name another --out.$", refused.Message);
    }

    [Fact]
    public async Task Runs_that_were_ended_are_told_and_left_out()
    {
        File.Delete(Path.Combine(_folder.Path, SweepFolder.Cells, "sgd-b16-r0.05", "summary.json"));
        var results = await SweepAsync(_folder.Settings([new SweepCell("sgd", 64, 0.1)]));
        Assert.Equal(8, results.Count);
        Assert.Equal(
            "Left out of the report: sgd, batch 16, rate 0.05, which no command has trained to the end that is asked for now. With such batches and rates given, too, they go on.\n", _error.ToString(), ignoreLineEndingDifferences: true);
    }

    [Fact]
    public async Task Where_only_some_have_several_seeds_the_report_says_so()
    {
        var second = new SweepCell("sgd", 64, 0.1, Seed: 1);
        _folder.Write(second);
        Configure(second, _folder.Settings([second]));
        var settings = _folder.Settings([new SweepCell("sgd", 64, 0.1)], target: 0.1);
        var report = SweepReport.Of(settings, await SweepAsync(settings));
        Assert.Contains(". 10 runs of at most 20,000 samples in the same order with 1 to 2 seeds for a batch and rate, ", report.Frame, StringComparison.Ordinal);
        Assert.Contains("not of another seed, nor of rates", string.Join(' ', SweepPage.Of(report, []).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries)), StringComparison.Ordinal);
    }

    private static void Configure(SweepCell cell, SweepSettings settings) =>
        File.WriteAllText(RunFolder.ConfigurationIn(settings.FolderOf(cell)), RunConfiguration.Write(settings.OptionsOf(cell)));

    private Task<IReadOnlyList<CellResult>> SweepAsync(SweepSettings settings)
    {
        var surroundings = new Surroundings { Out = TextWriter.Null, Error = _error, Environment = new Dictionary<string, string>(), Program = ChildCommand.OfThisProcess() };
        return new Sweep(settings, new Application(Cli.Catalog(), new RecipeShelf(), surroundings)).RunAsync(TestContext.Current.CancellationToken);
    }
}
