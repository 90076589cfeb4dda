using System.Globalization;
using System.Xml.Linq;
using DistTrain.Views;

namespace DistTrain.Cli.Tests.Views;

/// <summary>A name of a legend as it is drawn.</summary>
/// <param name="Text">The name.</param>
/// <param name="Left">Where it begins.</param>
/// <param name="Right">Where it ends, in a font that is wider than most.</param>
/// <param name="Top">Its upper edge.</param>
/// <param name="Bottom">Its lower edge.</param>
/// <param name="Symbol">Where its line begins, at the left.</param>
/// <param name="Look">Dashes and mark of the line, without its colour.</param>
internal sealed record DrawnName(string Text, double Left, double Right, double Top, double Bottom, double Symbol, string Look);

/// <summary>A rectangle of a picture.</summary>
internal readonly record struct Box(double Left, double Top, double Right, double Bottom);

/// <summary>What a picture's SVG text says of where things are.</summary>
internal sealed class DrawnPlot
{
    /// <summary>Widths of the characters from blank to tilde in DejaVu Sans, in thousandths of the size; it stands in for Arial on many machines, and is wider.</summary>
    private static readonly int[] Widths =
    [
        318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636, 636,
        636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863, 748, 787,
        603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635, 615, 352, 635,
        634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636, 337, 636, 838,
    ];

    private readonly XElement _svg;

    /// <summary>Reads a picture.</summary>
    public DrawnPlot(string svg)
    {
        _svg = XDocument.Parse(svg).Root!;
        Area = BoxOf(Named(_svg, "rect").Single(r => Style(r).StartsWith("fill:none;stroke:black", StringComparison.Ordinal)));
        Whole = new Box(0, 0, Number(_svg, "width"), Number(_svg, "height"));
        var groups = Named(_svg, "g").ToList();
        var last = groups.FindLastIndex(g => Named(g, "text").Any());
        LegendBox = BoxOf(Named(Named(_svg, "clipPath").Single(c => groups[last].Attribute("clip-path")!.Value == $"url(#{c.Attribute("id")!.Value})"), "rect").Single());
        Legend = [.. NamesIn([.. groups[last].Elements()])];
        Lines = [.. Named(groups[groups.FindLastIndex(last - 1, g => Named(g, "polyline").Any() && !Named(g, "text").Any())], "polyline").Select(PointsOf)];
        Texts = [.. groups.Take(last).SelectMany(g => Named(g, "text")).Select(t => (t.Value, Where(t).Y, IsTurned: t.Attribute("transform")!.Value.Contains("rotate", StringComparison.Ordinal)))];
    }

    /// <summary>Reads a picture.</summary>
    public DrawnPlot(SvgPlot plot)
        : this(plot.Text())
    {
    }

    /// <summary>The picture.</summary>
    public Box Whole { get; }

    /// <summary>Where lines are drawn.</summary>
    public Box Area { get; }

    /// <summary>What of the legend can be seen.</summary>
    public Box LegendBox { get; }

    /// <summary>The legend's names.</summary>
    public IReadOnlyList<DrawnName> Legend { get; }

    /// <summary>The lines' points.</summary>
    public IReadOnlyList<IReadOnlyList<(double X, double Y)>> Lines { get; }

    /// <summary>What is written elsewhere.</summary>
    public IReadOnlyList<(string Text, double Y, bool IsTurned)> Texts { get; }

    /// <summary>A name, and the shapes after it up to the next.</summary>
    private static IEnumerable<DrawnName> NamesIn(XElement[] drawn)
    {
        foreach (var (number, text) in drawn.Index().Where(d => d.Item.Name.LocalName == "text"))
        {
            var shapes = drawn[(number + 1)..].TakeWhile(e => e.Name.LocalName != "text").ToList();
            var (at, size) = (Where(text), Number(text, "font-size"));
            yield return new DrawnName(
                text.Value, at.X, at.X + (size * text.Value.Sum(c => Widths[c - ' ']) / 1000), at.Y, at.Y + size,
                shapes.Where(s => s.Name.LocalName == "polyline").SelectMany(PointsOf).Select(p => p.X).DefaultIfEmpty(at.X).Min(), string.Join(' ', shapes.Select(Look)));
        }
    }

    private static string Look(XElement shape)
    {
        var style = Style(shape).Split(';').Select(p => p.Split(':')).Where(p => p.Length == 2).ToDictionary(p => p[0], p => p[1]);
        var corners = shape.Attribute("points") is { } points ? points.Value.Split(' ').Length : 0;
        var fill = style.GetValueOrDefault("fill") is "none" or "rgb(255,255,255)" ? "hollow" : "filled";
        return $"{shape.Name.LocalName}/{corners}/{fill}/{style.GetValueOrDefault("stroke-dasharray")}";
    }

    private static IEnumerable<XElement> Named(XElement root, string name) => root.Descendants().Where(e => e.Name.LocalName == name);

    private static IReadOnlyList<(double X, double Y)> PointsOf(XElement line) =>
        [.. line.Attribute("points")!.Value.Split(' ').Select(p => p.Split(',')).Select(p => (Parse(p[0]), Parse(p[1])))];

    private static Box BoxOf(XElement rectangle) => new(
        Number(rectangle, "x"), Number(rectangle, "y"), Number(rectangle, "x") + Number(rectangle, "width"), Number(rectangle, "y") + Number(rectangle, "height"));

    private static (double X, double Y) Where(XElement text)
    {
        var transform = text.Attribute("transform")!.Value;
        var numbers = transform[(transform.IndexOf('(') + 1)..transform.IndexOf(')')].Split(',');
        return (Parse(numbers[0]), Parse(numbers[1]));
    }

    private static string Style(XElement element) => element.Attribute("style")?.Value ?? "";

    private static double Number(XElement element, string attribute) => Parse(element.Attribute(attribute)!.Value);

    private static double Parse(string text) => double.Parse(text, CultureInfo.InvariantCulture);
}
