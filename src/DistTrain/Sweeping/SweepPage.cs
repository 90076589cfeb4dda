using System.Net;
using System.Text;
using DistTrain.Core.BatchScience;

namespace DistTrain.Sweeping;

/// <summary>A sweep's report as one page: it needs no network, no script, and no other file.</summary>
internal static class SweepPage
{
    private const string Style =
        """
        :root { color-scheme: light; }
        body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; } h3 { font-size: 1rem; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem; }
        th, td { padding: 0.2rem 0.5rem; text-align: right; border-bottom: 1px solid #d8dee4; }
        td { white-space: nowrap; }
        th { vertical-align: bottom; max-width: 6rem; }
        th:last-child, td:last-child { text-align: left; }
        td.name, th.name { text-align: left; }
        tr.best td { font-weight: 600; background: #f3f6f9; }
        figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; } figcaption, .note { color: #57606a; font-size: 0.9rem; }
        dt { font-weight: 600; margin-top: 0.4rem; } dd { margin-left: 1.5rem; }
        .scroll { overflow-x: auto; }
        """;

    private const string Beginning =
        """
        <p class="note">The critical batch is where a larger batch stops paying: far below it twice the batch takes half the steps, far above it twice the samples. Numbers in brackets are intervals of 95 %.
        What every number means is at the end of the page.</p>

        """;

    private const string Reading =
        """
        <h2>How to read this</h2>
        <p class="note">Small batches give noisy gradients and many short steps, large ones better gradients and fewer, longer steps. To a given loss a run takes S(B) = S<sub>min</sub> (1 + B<sub>c</sub> / B)
        steps and E(B) = E<sub>min</sub> (1 + B / B<sub>c</sub>) samples, where B is the batch, B<sub>c</sub> the critical batch, and S<sub>min</sub> and E<sub>min</sub> the least steps and samples that any
        batch can do with (McCandlish et al. 2018, arXiv 1812.06162): the lines called fit. Far below B<sub>c</sub> doubling the batch halves the steps at the same samples; far above it the steps stay and the
        samples double. Intervals are by profile likelihood over the points of this sweep: they know of how the points scatter, {seeds} of rates that were not tried. The critical batch
        belongs to this loss: it grows as the loss falls.</p>
        <p class="note">Each batch is judged by the best of the rates that were tried, the one that got to the loss with the fewest samples, because no one rate suits all of them (Shallue et al. 2018, arXiv
        1811.03600). In the folder of this page config.yaml has the configuration that was varied, sweep.csv and sweep.json these numbers in full, and cells/ the runs.</p>

        """;

    private const string Optimizer = "optimizer";
    private const string Whole = "N0";

    /// <summary>The heads of <see cref="SweepText.Row"/>, as a page has room for them, and what is below.</summary>
    private static readonly (string Head, string Meaning)[] Columns =
    [
        ("batch", "The global batch: training samples of one step."),
        ("learning rate", "The full rate, which the warm-up comes up to."),
        ("steps to the loss", "Steps until the validation loss first came down to the loss that batches are compared at, between two evaluations by a straight line; - where it did not."),
        ("samples to the loss", "Training samples used by then; one that was used in several epochs counts each time."),
        ("seconds to the loss", "What these steps took, without evaluations and checkpoints."),
        ("final validation loss", "At the last evaluation, the end of the run."),
        ("final training loss", "At the end of the run: the mean of the steps after the last evaluation but one, as they were trained, dropout included."),
        ("gap", "Final validation loss less final training loss: how much worse the model is on what it has not seen. Dropout, which only training has, makes it smaller, even below 0."),
        ("samples/s", "Training samples a second while the run trained."),
        ("peak memory, MB", "The most memory that the run's worker held, in millions of bytes. It goes with the micro-batch, not with the global batch."),
        ("remark", "The lowest or the highest rate tried: a better one may lie beyond. Diverged: the gradients or the loss were not finite any more, or the loss was ten times that of the untrained model; such a run counts neither for the loss to compare at nor for the fit."),
    ];

    /// <summary>The text of the page.</summary>
    public static string Of(SweepReport report, IReadOnlyList<SweepPicture> pictures)
    {
        var page = new StringBuilder();
        page.Append($"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{Text(Title(report))}</title>\n");
        page.Append($"<style>\n{Style}\n</style>\n</head>\n<body>\n<h1>{Text(Title(report))}</h1>\n<p>{Text(report.Frame)}</p>\n{Beginning}");
        foreach (var optimizer in report.Analysis.Optimizers)
        {
            page.Append($"<h2>{Text(optimizer.Optimizer)}: the best rate of each batch</h2>\n<p id=\"fit-{Text(optimizer.Optimizer)}\">{Text(SweepReport.Sentence(optimizer))}</p>\n");
            Table(page, Columns, optimizer.Batches.Select(b => (SweepText.BestRow(report, b, Whole), false)));
        }

        if (report.Advice().ToList() is { Count: > 0 } advice)
        {
            page.Append("<h2>What to keep in mind</h2>\n<ul>\n");
            advice.ForEach(a => page.Append($"<li>{Text(a)}</li>\n"));
            page.Append("</ul>\n");
        }

        page.Append("<h2>Pictures</h2>\n");
        foreach (var picture in pictures)
        {
            // As images of their own: the names within one SVG would meet those of the others.
            page.Append($"<figure>\n<img id=\"{picture.Name}\" alt=\"{Text(picture.Caption)}\" src=\"data:image/svg+xml;base64,{Convert.ToBase64String(Encoding.UTF8.GetBytes(picture.Svg))}\">\n");
            page.Append($"<figcaption>{Text(picture.Caption)}</figcaption>\n</figure>\n");
        }

        page.Append("<h2>All runs</h2>\n<p class=\"note\">The best rate of each batch is marked.</p>\n");
        var best = report.Analysis.Optimizers.SelectMany(o => o.Batches).Where(b => !b.HasDiverged).SelectMany(b => b.Runs).Select(r => r.Cell).ToHashSet();
        Table(
            page, [(Optimizer, "The update rule."), .. Columns[..^1], ("got to the loss", "Whether the validation loss came down to the one that batches are compared at.")],
            report.Analysis.Optimizers.SelectMany(o => report.Results.Where(r => r.Outcome.Cell.Optimizer == o.Optimizer)).Select(r => (Cells(report, r), best.Contains(r.Outcome.Cell))));
        page.Append(Reading.Replace("{seeds}", report.Settings.Seeds > 1 ? $"and of its {report.Settings.Seeds} seeds by a bootstrap, not" : "not of another seed, nor", StringComparison.Ordinal)).Append("<h3>The columns</h3>\n<dl class=\"note\">\n");
        Columns.ToList().ForEach(c => page.Append($"<dt>{Text(c.Head)}</dt><dd>{Text(c.Meaning)}</dd>\n"));
        page.Append("</dl>\n</body>\n</html>\n");
        return page.ToString();
    }

    private static string Title(SweepReport report) => $"Batch sizes for {report.Settings.Options.Name}";

    private static string[] Cells(SweepReport report, CellResult result)
    {
        var reading = result.Outcome.ReadingAt(report.Analysis.Target);
        var row = SweepText.Row(report, new BatchResult(result.Outcome.Cell.Batch, result.Outcome, reading, false, false), Whole);
        var (name, seed) = (result.Outcome.Cell.Optimizer, result.Outcome.Cell.Seed);
        return [seed == 0 ? name : $"{name}, seed + {seed}", .. row[..^1], result.Outcome.HasDiverged ? "no, diverged" : reading is null ? "no" : "yes"];
    }

    private static void Table(StringBuilder page, IReadOnlyList<(string Head, string Meaning)> columns, IEnumerable<(string[] Cells, bool IsBest)> rows)
    {
        string[] classes = [.. columns.Select(c => c.Head == Optimizer ? " class=\"name\"" : "")];
        page.Append("<div class=\"scroll\"><table>\n<thead><tr>");
        foreach (var (number, column) in columns.Index())
        {
            page.Append($"<th scope=\"col\"{classes[number]} title=\"{Text(column.Meaning)}\">{Text(column.Head)}</th>");
        }

        page.Append("</tr></thead>\n<tbody>\n");
        foreach (var (cells, isBest) in rows)
        {
            page.Append(isBest ? "<tr class=\"best\">" : "<tr>");
            cells.Index().ToList().ForEach(c => page.Append($"<td{classes[c.Index]}>{Text(c.Item)}</td>"));
            page.Append("</tr>\n");
        }

        page.Append("</tbody>\n</table></div>\n");
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
