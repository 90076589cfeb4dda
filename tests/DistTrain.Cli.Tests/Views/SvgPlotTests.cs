using System.Xml.Linq;
using DistTrain.Views;

namespace DistTrain.Cli.Tests.Views;

/// <summary>What a picture looks like, read from its SVG text.</summary>
public sealed class SvgPlotTests
{
    private static readonly (double Across, double Up)[] Rising = [.. Enumerable.Range(1, 100).Select(i => ((double)i, 100.0 + i))];

    /// <summary>The names of pictures that the program draws: a plan, a law of a sweep, all its batches, runs by their paths.</summary>
    public static TheoryData<string[], bool> Names => new()
    {
        { ["learning rate", "global batch, samples"], true },
        { ["samples/s of a worker", "peak memory, MB"], true },
        { ["sgd", "sgd: fit", "sgd: halving", "adamw", "adamw: fit", "adamw: halving"], false },
        { [.. from optimizer in new[] { "sgd", "adamw" } from batch in new[] { 16, 32, 64, 128, 256, 512 } select $"{optimizer}, batch {batch}"], false },
        { ["runs/illimitable/filled-till-full/" + new string('W', 80), "/home/somebody/experiments/of-a-long-winter/" + new string('l', 40)], false },
        { ["noise"], false },
    };

    [Theory]
    [MemberData(nameof(Names))]
    public void Every_name_of_the_legend_is_whole_below_the_lines_and_covers_no_other(string[] names, bool hasRight)
    {
        var drawn = Draw(names, hasRight);
        Assert.Equal(names.Length, drawn.Legend.Count);
        var box = drawn.LegendBox;
        Assert.True(box.Top >= drawn.Area.Bottom && drawn.Texts.Where(t => !t.IsTurned).All(t => t.Y <= box.Top), $"{box} is over {drawn.Area} or what is written below it");
        Assert.True(box.Left >= 0 && box.Right <= drawn.Whole.Right && box.Bottom <= drawn.Whole.Bottom, $"{box} is not within {drawn.Whole}");
        Assert.All(drawn.Legend, name =>
        {
            Assert.True(name.Symbol >= box.Left && name.Right <= box.Right && name.Top >= box.Top && name.Bottom <= box.Bottom, $"{name} is cut off by {box}");
            Assert.All(drawn.Legend.Where(n => n != name), other => Assert.True(
                other.Symbol >= name.Right || other.Right <= name.Symbol || other.Top >= name.Bottom || other.Bottom <= name.Top, $"{name} is over {other}"));
        });
    }

    [Fact]
    public void Every_text_of_the_axes_is_within_the_picture_and_quantities_have_their_sides()
    {
        var drawn = Draw(["learning rate", "global batch, samples"], hasRight: true);
        Assert.Equal(["learning rate (left)", "global batch, samples (right)"], drawn.Legend.Select(n => n.Text));
        Assert.Superset(new HashSet<string> { "a picture", "across", "left", "right", "200" }, drawn.Texts.Select(t => t.Text).ToHashSet());
        Assert.All(drawn.Texts, t => Assert.InRange(t.Y, 0, drawn.Whole.Bottom));
    }

    [Fact]
    public void Lines_can_be_told_from_each_other_without_their_colours()
    {
        var many = Draw([.. Enumerable.Range(1, 20).Select(i => $"run {i}")], hasRight: false).Legend;
        Assert.Equal(20, many.Select(n => n.Look).Distinct().Count());

        var plain = new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left"), new PlotAxis("right"));
        for (var i = 0; i < 4; i++)
        {
            plain.Line($"{i}", i, Rising, onRight: i == 1);
        }

        plain.Line("target", 0, Rising, dotted: true);
        Assert.Equal(5, new DrawnPlot(plain).Legend.Select(n => n.Look).Distinct().Count());
    }

    [Fact]
    public void Equal_values_have_room_above_them_on_an_axis_from_zero_and_so_has_a_limit()
    {
        var plot = new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left", AxisScale.FromZero), new PlotAxis("right", AxisScale.FromZero))
            .Line("equal", 0, Rising.Select(p => (p.Across, 261.0)))
            .Line("below the limit", 1, Rising.Select(p => (p.Across, 100.0)), onRight: true);
        var drawn = new DrawnPlot(plot);
        var (bottom, height) = (drawn.Area.Bottom, drawn.Area.Bottom - drawn.Area.Top);
        Assert.All(drawn.Lines, line => Assert.All(line, p => Assert.Equal(bottom - (height / 1.1), p.Y, 0.5)));

        var limited = new DrawnPlot(plot.Limit(190, "limit"));
        Assert.Contains(limited.Lines, line => Math.Abs(line[0].Y - (bottom - (height * 100 / 190 / 1.1))) < 0.5);
        Assert.Contains("limit", XDocument.Parse(plot.Text()).Descendants().Where(e => e.Name.LocalName == "text").Select(e => e.Value));
    }

    [Theory]
    [InlineData(1, "start")]
    [InlineData(50, "start")]
    [InlineData(100, "end")]
    public void The_text_of_a_marked_place_is_on_the_side_that_has_room(double across, string anchor)
    {
        var plot = new SvgPlot("a picture", new PlotAxis("across", AxisScale.Doubling), new PlotAxis("left")).Line("line", 0, Rising).Mark(across, "knee");
        var text = XDocument.Parse(plot.Text()).Descendants().Single(e => e.Name.LocalName == "text" && e.Value == "knee");
        Assert.Equal(anchor, text.Attribute("text-anchor")!.Value);
    }

    [Theory]
    [InlineData(12_345, "10,000")]
    [InlineData(0.02, "0.02")]
    public void Numbers_of_an_axis_are_written_for_people(double most, string expected)
    {
        var drawn = new DrawnPlot(new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left", AxisScale.FromZero)).Line("line", 0, [(0, 0), (1, most)]));
        Assert.Contains(expected, drawn.Texts.Select(t => t.Text));
    }

    [Theory]
    [InlineData(90.13, 3024, "1,000")]
    [InlineData(0.0001, 0.01, "0.001")]
    public void A_logarithmic_axis_is_written_likewise(double low, double high, string expected)
    {
        var drawn = new DrawnPlot(new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left", AxisScale.Logarithmic)).Line("line", 0, [(0, low), (1, high)]));
        Assert.Contains(expected, drawn.Texts.Select(t => t.Text));
    }

    [Theory]
    [InlineData(6, 6, 6)]
    [InlineData(100, 5, 30)]
    public void Every_point_of_a_few_has_its_mark_and_some_of_many(int count, int fewest, int most)
    {
        var text = new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left")).Curve("line", 0, Rising[..count]).Text();
        Assert.InRange(XDocument.Parse(text).Descendants().Count(e => e.Name.LocalName == "ellipse") - 1, fewest, most);
    }

    private static DrawnPlot Draw(string[] names, bool hasRight)
    {
        var plot = new SvgPlot("a picture", new PlotAxis("across"), new PlotAxis("left"), hasRight ? new PlotAxis("right") : null);
        foreach (var (number, name) in names.Index())
        {
            _ = hasRight ? plot.Points(name, number, Rising, joined: true, onRight: number == 1) : plot.Curve(name, number, Rising);
        }

        return new DrawnPlot(plot);
    }
}
