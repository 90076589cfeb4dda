using System.Text;
using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using System.Xml.Linq;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Sweeping;

namespace DistTrain.Cli.Tests.Sweeping;

/// <summary>What a sweep says of runs whose truth is known.</summary>
public sealed class SweepReportTests : IDisposable
{
    private static readonly long[] Batches = [16, 32, 64, 128, 256, 512];
    private readonly SweptFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_law_behind_the_runs_is_found_and_said()
    {
        var report = Report(target: 0.1);
        var sgd = Assert.Single(report.Analysis.Optimizers);

        Assert.All(sgd.Batches, b => Assert.Equal(0.1 * b.Batch / 64, b.Best.Cell.Rate, 1e-9));
        Assert.Equal(100, sgd.Fit!.CriticalBatch.Value, 15.0);
        Assert.InRange(100, sgd.Fit.CriticalBatch.Low, sgd.Fit.CriticalBatch.High);
        Assert.InRange(20, sgd.Fit.LeastSteps.Low, sgd.Fit.LeastSteps.High);
        Assert.InRange(2000, sgd.Fit.LeastSamples.Low, sgd.Fit.LeastSamples.High);
        Assert.Matches("^sgd: the critical batch is [0-9]+ \\([0-9]+ to [0-9]+\\) samples\\. There a run takes twice the least steps, ", SweepReport.Sentence(sgd));
        Assert.Equal("Up to 2 runs shared this machine: seconds compare batches with each other, not with a run that has it alone.", Assert.Single(report.Advice()));
        Assert.Equal(
            "Steps and samples to a validation loss of 0.1. 18 runs of at most 20,000 samples in the same order, a constant rate after the warm-up, evaluated every 500 samples.", report.Frame);
    }

    [Fact]
    public void The_table_has_a_row_for_each_batch_with_what_it_took()
    {
        var output = new StringWriter();
        SweepText.Write(output, Report(target: 0.1));
        var lines = output.ToString().Split('\n');
        Assert.Matches("^  batch +rate +steps +samples +seconds +final validation loss +final training loss +gap +samples/s +peak MB$", lines[3]);

        // 20 (1 + 100 / 128) = 35.6 steps of 10 ms.
        var row = Regex.Split(lines[7].Trim(), " +");
        Assert.Equal(["128", "0.2"], row[..2]);
        Assert.Equal((36, 4560, 0.4), (double.Parse(row[2]), Math.Round(double.Parse(row[3]) / 20) * 20, double.Parse(row[4])));
        Assert.Equal("200", row[9]);
    }

    [Fact]
    public void A_program_gets_everything_and_a_spreadsheet_a_line_for_each_run()
    {
        var report = Report(target: null);
        SweepFiles.Write(report);
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.Path, "sweep.json")))!;
        Assert.Equal(18, json["runs"]!.AsArray().Count);
        Assert.False((bool)json["targetIsGiven"]!);
        Assert.InRange((double)json["optimizers"]![0]!["criticalBatch"]!["value"]!, 80, 120);
        Assert.Equal(Batches, json["optimizers"]![0]!["batches"]!.AsArray().Select(b => (long)b!["batch"]!));

        var csv = File.ReadAllLines(Path.Combine(_folder.Path, "sweep.csv"));
        Assert.Equal(19, csv.Length);
        Assert.EndsWith(",peakRssBytes,accuracy", csv[0], StringComparison.Ordinal);
        Assert.All(csv, line => Assert.Equal(csv[0].Count(c => c == ','), line.Count(c => c == ',')));
        Assert.StartsWith("sgd,16,0.0125,completed,1250,", csv[1], StringComparison.Ordinal);
        Assert.StartsWith("# the configuration that the sweep varies", File.ReadAllText(Path.Combine(_folder.Path, "config.yaml")), StringComparison.Ordinal);
    }

    [Fact]
    public void The_page_and_its_pictures_need_nothing_from_outside()
    {
        SweepFiles.Write(Report(target: null));
        var page = File.ReadAllText(Path.Combine(_folder.Path, SweepFiles.Page));
        var whole = XDocument.Parse(Regex.Replace(page.Replace("<!DOCTYPE html>", "", StringComparison.Ordinal), "<(meta|img)([^>]*[^/])>", "<$1$2/>"));

        Assert.Equal(["steps", "samples", "rates", "losses", "cost"], whole.Descendants("img").Select(i => (string?)i.Attribute("id")));
        Assert.All(whole.Descendants().Attributes().Where(a => a.Name.LocalName is "src" or "href"), a => Assert.StartsWith("data:image/svg+xml;base64,", a.Value, StringComparison.Ordinal));
        Assert.DoesNotContain("<script", page, StringComparison.Ordinal);
        Assert.DoesNotContain("url(", page, StringComparison.Ordinal);
        Assert.Equal(2, whole.Descendants("table").Count());
        foreach (var image in whole.Descendants("img"))
        {
            var svg = Encoding.UTF8.GetString(Convert.FromBase64String(image.Attribute("src")!.Value.Split(',')[1]));
            Assert.Equal("svg", XDocument.Parse(svg).Root!.Name.LocalName);
            Assert.Equal(svg, File.ReadAllText(Path.Combine(_folder.Path, $"{image.Attribute("id")!.Value}.svg")));
            Assert.DoesNotContain("NaN", svg, StringComparison.Ordinal);
        }
    }

    [Fact]
    public void The_page_explains_every_column_and_marks_the_best_rates()
    {
        var page = SweepPage.Of(Report(target: 0.1), []);
        var whole = XDocument.Parse(Regex.Replace(page.Replace("<!DOCTYPE html>", "", StringComparison.Ordinal), "<(meta|img)([^>]*[^/])>", "<$1$2/>"));
        var explained = whole.Descendants("dt").Zip(whole.Descendants("dd")).ToDictionary(e => e.First.Value, e => e.Second.Value);
        var tables = whole.Descendants("table").ToList();
        Assert.Equal(explained.Keys, tables[0].Descendants("th").Select(h => h.Value));
        Assert.All(tables[0].Descendants("th"), h => Assert.Equal(explained[h.Value], h.Attribute("title")!.Value));
        Assert.All(tables, t => Assert.All(t.Descendants("tr"), r => Assert.Equal(t.Descendants("th").Count(), r.Elements().Count())));
        Assert.All(explained.Values, e => Assert.EndsWith(".", e, StringComparison.Ordinal));

        // A run has a loss at every step: a head says which.
        Assert.All(tables, t => Assert.Equal(["final validation loss", "final training loss"], t.Descendants("th").Select(h => h.Value).Where(h => h.EndsWith(" loss", StringComparison.Ordinal) && !h.EndsWith(" to the loss", StringComparison.Ordinal))));

        var marked = tables[1].Descendants("tr").Where(r => r.Attribute("class")?.Value == "best").Select(r => r.Elements().Select(c => c.Value).ToArray()).ToList();
        Assert.Equal(Batches.Select(b => ("sgd", $"{b:N0}", $"{0.1 * b / 64:G4}", "yes")), marked.Select(r => (r[0], r[1], r[2], r[^1])));
        Assert.Contains("8,000", tables[1].Descendants("td").Select(c => c.Value));
    }

    [Fact]
    public void Runs_that_did_not_get_there_or_diverged_are_told_and_break_nothing()
    {
        var cells = SweptFolder.Cells(16, 512);
        cells.ToList().ForEach(c => _folder.Write(c, c.Batch == 512 ? text => "{\"step\":1,\"loss\":null,\"globalBatch\":512,\"samples\":512,\"skipped\":true,\"stepMs\":5}\n" : null));
        foreach (var cell in cells.Where(c => c.Batch == 512))
        {
            var folder = Path.Combine(_folder.Path, SweepFolder.Cells, cell.Name);
            File.WriteAllText(Path.Combine(folder, "summary.json"), """{"status":"failed","samples":512,"wallSeconds":1}""");
        }

        var report = SweepReport.Of(_folder.Settings(cells, target: 0.1), [.. cells.Select(_folder.Read)]);
        SweepFiles.Write(report);
        var output = new StringWriter();
        SweepText.Write(output, report);
        Assert.Matches("\n    512 +- +- +- +- .* every rate diverged\n", output.ToString());
        Assert.Contains("sgd: runs diverged, and count for nothing: batch 512 at 0.4, 0.8, 1.6.\n", output.ToString(), StringComparison.Ordinal);
        Assert.Contains(",diverged,", File.ReadAllText(Path.Combine(_folder.Path, "sweep.csv")), StringComparison.Ordinal);
        Assert.Contains("sgd: no run of batch 512 reached the loss.", output.ToString(), StringComparison.Ordinal);
        Assert.Contains(
            "sgd: 2 batches say nothing of a critical batch: at least 3 --batches are needed, and only 1 of these reached the loss: allow more --samples, or give a higher --target, too.\n",
            output.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public void Of_a_step_that_was_computed_twice_the_last_line_counts_and_a_torn_line_is_left_out()
    {
        var cell = SweptFolder.Cells(64)[1];
        _folder.Write(cell);
        var straight = _folder.Read(cell);
        _folder.Write(cell, text => text + text[text.IndexOf("{\"step\":300,", StringComparison.Ordinal)..].Split('\n')[0] + "\n{\"step\":9");
        var again = _folder.Read(cell);

        Assert.Equal(straight.Outcome.Evaluations, again.Outcome.Evaluations);
        Assert.Equal((straight.Steps, straight.Seconds[^1], straight.Outcome.TrainingLoss), (again.Steps, again.Seconds[^1], again.Outcome.TrainingLoss));
        Assert.Equal(0.01 * again.Outcome.Evaluations[^1].Step, again.Seconds[^1], 1e-9);
    }

    [Fact]
    public void A_damaged_run_is_named()
    {
        var cell = SweptFolder.Cells(64)[1];
        _folder.Write(cell, text => text.Replace("{\"step\":7,", "{{{", StringComparison.Ordinal));
        var damaged = Assert.Throws<SweepException>(() => _folder.Read(cell));
        Assert.Matches("^The run in .*/sgd-b64-r0.1 cannot be read: Line 7 of metrics.jsonl is damaged. Delete the folder, and it is trained anew.$", damaged.Message);
    }

    [Fact]
    public void A_run_of_the_sweep_differs_from_the_recipe_by_batch_rate_and_how_it_is_watched()
    {
        var settings = _folder.Settings(SweptFolder.Cells(16));
        var options = settings.OptionsOf(new SweepCell("adamw", 16, 0.002));

        Assert.Equal((16, "adamw", 0.002), (options.Batch.Global, options.Optimizer.Name, options.Optimizer.LearningRate));
        Assert.Equal(("constant", 0, 640), (options.Schedule.Name, options.Schedule.WarmupSteps, options.Schedule.WarmupSamples));
        Assert.Equal(new StopOptions { Samples = SweptFolder.Samples }, options.Stop);
        Assert.Equal((0, 500), (options.Evaluate.EveryEpochs, options.Evaluate.EverySamples));
        Assert.Equal((settings.Options.Seed, 1), (options.Seed, options.Workers));
        Assert.Equal("cosine", (settings with { KeepsSchedule = true }).OptionsOf(settings.Cells[0]).Schedule.Name);
        Assert.Equal(5000, SweepSettings.BudgetOf(settings.Options, 1000));
    }

    [Fact]
    public void Of_several_seeds_the_means_are_told()
    {
        var cells = SweptFolder.Cells(2, Batches);
        cells.ToList().ForEach(c => _folder.Write(c));
        var report = SweepReport.Of(_folder.Settings(cells, target: 0.1), [.. cells.Select(_folder.Read)]);
        Assert.Contains("36 runs of at most 20,000 samples in the same order for each of 2 seeds, ", report.Frame, StringComparison.Ordinal);

        // The second seed takes 1.21 times the steps.
        var batch = report.Analysis.Optimizers[0].Batches[0];
        Assert.Equal((16, 0.025), (batch.Batch, batch.Best.Cell.Rate));
        double[] steps = [.. batch.Runs.Select(r => TargetReading.Of(r.Evaluations, 0.1)!.Value.Steps)];
        Assert.Equal(1.21, steps[1] / steps[0], 0.05);
        Assert.Equal(Math.Sqrt(steps[0] * steps[1]), batch.Reading!.Value.Steps, 1e-9);
        Assert.Equal(0.01 * steps.Average(), report.SecondsTo(batch)!.Value, 1e-9);

        SweepFiles.Write(report);
        var json = JsonNode.Parse(File.ReadAllText(Path.Combine(_folder.Path, "sweep.json")))!;
        Assert.Equal([1, 2], json["runs"]!.AsArray().Take(2).Select(r => (int)r!["seed"]!));
        Assert.Equal(2, (int)json["seeds"]!);
        Assert.Equal(batch.Reading.Value.Steps, (double)json["optimizers"]![0]!["batches"]![0]!["stepsToTarget"]!, 1e-6);
        Assert.Contains("and of its 2 seeds by a bootstrap, not of rates that were not tried", Regex.Replace(File.ReadAllText(Path.Combine(_folder.Path, SweepFiles.Page)), @"\s+", " "), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(1, 1, "sgd: one batch says nothing of a critical batch: at least 3 --batches are needed.")]
    [InlineData(2, 2, "sgd: 2 batches say nothing of a critical batch: at least 3 --batches are needed.")]
    [InlineData(3, 2, "sgd: fewer than 3 batches reached the loss, so nothing can be said of a critical batch: allow more --samples, or give a higher --target.")]
    [InlineData(3, 3, "sgd: the steps of fewer than 3 batches differ, as one above the training samples takes all of them, so nothing can be said of a critical batch: give smaller --batches.")]
    public void What_a_fit_lacks_is_told(int tried, int reached, string sentence)
    {
        var batches = Enumerable.Range(0, tried).Select(i => new BatchResult(
            16 << i, new CellOutcome(new SweepCell("sgd", 16 << i, 0.1), [], false, 0.1), i < reached ? new TargetReading(10, 160, 0.1) : null, false, false));
        Assert.Equal(sentence, SweepReport.Sentence(new OptimizerResult("sgd", [.. batches], null)));
    }

    [Fact]
    public void A_run_that_ended_with_a_loss_that_is_no_number_or_ran_away_is_told_as_diverged_and_one_that_learnt_nothing_is_not_compared()
    {
        var cells = SweptFolder.Cells(16, 64, 512);
        foreach (var cell in cells)
        {
            _folder.Write(cell, losses: cell.Batch == 16 ? "1.2e24" : cell.Rate > 0.15 * cell.Batch / 64 ? "null" : "2.35", startLoss: 2.303);
        }

        var report = SweepReport.Of(_folder.Settings(cells), [.. cells.Select(_folder.Read)]);
        SweepFiles.Write(report);
        Assert.Equal("No run came below the loss of the untrained model, 2.303: allow more --samples, or give other --rates.", report.Frame);
        Assert.Contains("sgd: runs diverged, and count for nothing: batch 16 at 0.0125, 0.025, 0.05; batch 64 at 0.2; batch 512 at 1.6.", report.Advice());
        Assert.Equal(5, File.ReadLines(Path.Combine(_folder.Path, "sweep.csv")).Count(l => l.Contains(",diverged,", StringComparison.Ordinal)));
        Assert.Equal(5, Regex.Count(File.ReadAllText(Path.Combine(_folder.Path, SweepFiles.Page)), "<td>no, diverged</td>"));
        Assert.Contains("fewer than 3 batches reached the loss", SweepReport.Sentence(report.Analysis.Optimizers[0]), StringComparison.Ordinal);

        var given = SweepReport.Of(_folder.Settings(cells, target: 2.5), report.Results);
        Assert.Contains("The loss of the untrained model is 2.303, so that a run is at a --target of 2.5 from its beginning: give a lower one.", given.Advice());
    }

    [Fact]
    public void Runs_share_the_machine_only_where_there_are_two_of_them()
    {
        var cell = SweptFolder.Cells(64)[1];
        _folder.Write(cell);
        Assert.DoesNotContain(SweepReport.Of(_folder.Settings([cell], target: 0.1), [_folder.Read(cell)]).Advice(), a => a.Contains("shared", StringComparison.Ordinal));
    }

    [Fact]
    public void What_is_said_of_the_critical_batch_is_what_its_interval_says()
    {
        Assert.Matches(
            "^sgd: the critical batch is not known: the fit has (9[0-9]|10[0-9]) samples, but its interval of 95 % is open \\([0-9.]+ to infinity\\), as the 3 points are read to within 7 % only, between two evaluations: ",
            OfDoubt(0.07, (111, 1779), (40, 2492), (23, 5517)));
        Assert.Matches("^sgd: the critical batch is not known: .* is open .*, as the 3 points scatter by [1-9][0-9]* %: give more --batches, ", Said((111, 1779), (80, 5120), (23, 5517)));
        Assert.Matches(
            "^sgd: the critical batch is above [0-9,]+ samples: up to the largest batch that was tried, 1,020, doubling still saves at least (3[3-9]|4[0-9]|50) % of the steps, and half would be the most. Try larger ones.$",
            Said((6400, 102_400), (1600, 102_400), (400, 102_400), (100, 102_400)));
        Assert.Matches(
            "^sgd: the critical batch is below [0-9.]+ samples: from the smallest batch that was tried on, 16, doubling saves at most (1?[0-9]|2[0-5]) % of the steps. Try smaller ones.$",
            Said((100, 1600), (100, 6400), (100, 25_600), (100, 102_400)));

        static string Said(params (double Steps, double Samples)[] points) => OfDoubt(0.001, points);
    }

    private static string OfDoubt(double doubt, params (double Steps, double Samples)[] points) =>
        SweepReport.Sentence(new OptimizerResult("sgd", [], BatchFit.Of([.. points.Select(p => new BatchPoint(p.Steps, p.Samples, doubt))])));

    private SweepReport Report(double? target)
    {
        var cells = SweptFolder.Cells(Batches);
        cells.ToList().ForEach(c => _folder.Write(c));
        return SweepReport.Of(_folder.Settings(cells, target), [.. cells.Select(_folder.Read)]);
    }
}
