using System.Net;
using System.Text;
using DistTrain.Core.BatchScience;

namespace DistTrain.Sweeping;

/// <summary>A sweep's report as one page: it needs no network, no script, and no other file.</summary>
internal static class SweepPage
{
    private const string Style =
        """
        body { font: 15px/1.5 system-ui, sans-serif; color: #1c2733; background: #fff; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
        h1 { font-size: 1.5rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
        table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.85rem; }
        th, td { padding: 0.2rem 0.6rem; text-align: right; border-bottom: 1px solid #d8dee4; }
        th:first-child, td:first-child { text-align: left; }
        td:last-child { white-space: nowrap; text-align: left; }
        figure { margin: 1.5rem 0; } img { max-width: 100%; height: auto; } figcaption, .note { color: #57606a; font-size: 0.9rem; }
        .scroll { overflow-x: auto; }
        """;

    /// <summary>The text of the page.</summary>
    public static string Of(SweepReport report, IReadOnlyList<SweepPicture> pictures)
    {
        var page = new StringBuilder();
        page.Append($"<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{Text(Title(report))}</title>\n");
        page.Append($"<style>\n{Style}\n</style>\n</head>\n<body>\n<h1>{Text(Title(report))}</h1>\n<p>{Text(report.Frame)}</p>\n");
        foreach (var optimizer in report.Analysis.Optimizers)
        {
            page.Append($"<h2>{Text(optimizer.Optimizer)}</h2>\n<p id=\"fit-{Text(optimizer.Optimizer)}\">{Text(SweepReport.Sentence(optimizer))}</p>\n");
            Table(page, SweepText.Heads, optimizer.Batches.Select(b => SweepText.Row(report, b)));
        }

        page.Append("<ul>\n");
        report.Advice().ToList().ForEach(a => page.Append($"<li>{Text(a)}</li>\n"));
        page.Append("</ul>\n<h2>Pictures</h2>\n");
        foreach (var picture in pictures)
        {
            // As images of their own: the names within one SVG would meet those of the others.
            page.Append($"<figure>\n<img id=\"{picture.Name}\" alt=\"{Text(picture.Caption)}\" src=\"data:image/svg+xml;base64,{Convert.ToBase64String(Encoding.UTF8.GetBytes(picture.Svg))}\">\n");
            page.Append($"<figcaption>{Text(picture.Caption)}</figcaption>\n</figure>\n");
        }

        page.Append("<h2>All runs</h2>\n");
        Table(page, ["optimizer", .. SweepText.Heads[..^1], "status"], report.Results.Select(r => Cells(report, r)));
        page.Append(Reading);
        page.Append("</body>\n</html>\n");
        return page.ToString();
    }

    private const string Reading =
        """
        <h2>How to read this</h2>
        <p class="note">Small batches give noisy gradients and many short steps, large ones better gradients and fewer, longer steps. To a given loss a run takes S(B) = S<sub>min</sub> (1 + B<sub>c</sub> / B)
        steps and E(B) = E<sub>min</sub> (1 + B / B<sub>c</sub>) samples (McCandlish et al. 2018, arXiv 1812.06162). Far below the critical batch B<sub>c</sub> doubling the batch halves the steps at the same
        samples; far above it the steps stay and the samples double. Intervals are of 95 %, by profile likelihood over the points of this sweep: they know of how the points scatter, not of another seed,
        nor of rates that were not tried. The critical batch belongs to this loss: it grows as the loss falls.</p>
        <p class="note">Each batch is judged by the best of the rates that were tried, because no one rate suits all of them (Shallue et al. 2018, arXiv 1811.03600). The gap is the validation loss at the end of a run
        less the mean training loss of its last steps, which dropout raises. Memory depends on the micro-batch, not on the global batch.</p>

        """;

    private static string Title(SweepReport report) => $"Batch sizes for {report.Settings.Options.Name}";

    private static string[] Cells(SweepReport report, CellResult result)
    {
        var reading = TargetReading.Of(result.Outcome.Evaluations, report.Analysis.Target);
        var row = SweepText.Row(report, new BatchResult(result.Outcome.Cell.Batch, result.Outcome, reading, false, false));
        return [result.Outcome.Cell.Optimizer, .. row[..^1], result.Outcome.HasDiverged ? "diverged" : "completed"];
    }

    private static void Table(StringBuilder page, IReadOnlyList<string> heads, IEnumerable<string[]> rows)
    {
        page.Append("<div class=\"scroll\"><table>\n<thead><tr>");
        heads.ToList().ForEach(h => page.Append($"<th>{Text(h)}</th>"));
        page.Append("</tr></thead>\n<tbody>\n");
        foreach (var row in rows)
        {
            page.Append("<tr>");
            row.ToList().ForEach(c => page.Append($"<td>{Text(c)}</td>"));
            page.Append("</tr>\n");
        }

        page.Append("</tbody>\n</table></div>\n");
    }

    private static string Text(string text) => WebUtility.HtmlEncode(text);
}
