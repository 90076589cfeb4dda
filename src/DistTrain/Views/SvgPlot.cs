using DistTrain.Records;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace DistTrain.Views;

/// <summary>A picture of lines over one quantity, as an SVG file.</summary>
internal sealed class SvgPlot
{
    private const string AcrossKey = "across";
    private const string LeftKey = "left";
    private const string RightKey = "right";

    /// <summary>A longer name might not fit below the picture; the end of a path is what tells it from others.</summary>
    private const int LongestName = 40;

    /// <summary>Of a line with more points those that are nearer to each other than so many pixels share a mark.</summary>
    private const int MostMarks = 24;
    private const int MarkDistance = 60;

    /// <summary>So many numbers have colours and marks of their own; above, the dashes are others.</summary>
    public const int Looks = 8;

    private static readonly OxyColor[] Colours =
    [
        OxyColors.SteelBlue, OxyColors.Peru, OxyColors.SeaGreen, OxyColors.IndianRed, OxyColors.MediumPurple, OxyColors.DarkCyan, OxyColors.Goldenrod, OxyColors.DimGray,
    ];

    /// <summary>What tells lines from each other without their colours: filled first, then hollow.</summary>
    private static readonly MarkerType[] Marks = [MarkerType.Circle, MarkerType.Square, MarkerType.Triangle, MarkerType.Diamond];

    /// <summary>Likewise, where lines have no marks, and where there are more of them than colours.</summary>
    private static readonly LineStyle[] Strokes = [LineStyle.Solid, LineStyle.LongDash, LineStyle.DashDot, LineStyle.LongDashDotDot];

    private readonly PlotModel _model;

    /// <summary>An empty picture.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="across">What the lines are over.</param>
    /// <param name="left">The quantity upwards.</param>
    /// <param name="right">A second one, on the right; null for none.</param>
    public SvgPlot(string title, PlotAxis across, PlotAxis left, PlotAxis? right = null)
    {
        _model = new PlotModel { Title = title, TitleFontSize = 15, Background = OxyColors.White };
        _model.Axes.Add(across.At(AxisPosition.Bottom, AcrossKey));
        _model.Axes.Add(left.At(AxisPosition.Left, LeftKey));
        if (right is not null)
        {
            _model.Axes.Add(right.At(AxisPosition.Right, RightKey));
        }

        _model.Legends.Add(new PlotLegend());
    }

    /// <summary>Where the axis on the left begins and ends.</summary>
    public SvgPlot Range(double low, double high)
    {
        (_model.Axes[1].Minimum, _model.Axes[1].Maximum) = (low, high);
        return this;
    }

    /// <summary>Adds points, each with its mark.</summary>
    /// <param name="name">Their name.</param>
    /// <param name="number">The number of their colour and mark.</param>
    /// <param name="points">The points, all finite, above 0 where an axis is logarithmic.</param>
    /// <param name="joined">Whether a line joins them.</param>
    /// <param name="onRight">Whether they are of the quantity on the right.</param>
    public SvgPlot Points(string name, int number, IEnumerable<(double Across, double Up)> points, bool joined, bool onRight = false) =>
        Add(name, number, points, onRight, joined ? Stroke(number / Looks) : LineStyle.None, Marks[number % Marks.Length]);

    /// <summary>Adds a line through any number of points, likewise; where they are many, only some of them have a mark.</summary>
    public SvgPlot Curve(string name, int number, IReadOnlyList<(double Across, double Up)> points) =>
        Add(name, number, points, onRight: false, Stroke(number / Looks), Marks[number % Marks.Length], points.Count > MostMarks ? MarkDistance : 0);

    /// <summary>Adds a line without marks, likewise, which its dashes tell from others; a dotted one is a line to compare with.</summary>
    public SvgPlot Line(string name, int number, IEnumerable<(double Across, double Up)> points, bool dotted = false, bool onRight = false) =>
        Add(name, number, points, onRight, dotted ? LineStyle.Dot : Stroke(number), MarkerType.None);

    /// <summary>Marks a place on the way across with an upright line; its text is to the right of it, where there is room.</summary>
    public SvgPlot Mark(double across, string text)
    {
        var isLast = _model.Series.OfType<LineSeries>().All(s => s.Points.All(p => p.X <= across));
        _model.Annotations.Add(new LineAnnotation
        {
            Type = LineAnnotationType.Vertical,
            X = across,
            XAxisKey = AcrossKey,
            YAxisKey = LeftKey,
            Text = text,
            TextOrientation = AnnotationTextOrientation.Horizontal,
            TextHorizontalAlignment = isLast ? HorizontalAlignment.Right : HorizontalAlignment.Left,
            TextLinePosition = 0,
            TextPadding = 4,
            Color = OxyColors.Gray,
            LineStyle = LineStyle.Dash,
        });
        return this;
    }

    /// <summary>Marks a limit of the quantity on the right with a level line.</summary>
    public SvgPlot Limit(double right, string text)
    {
        _model.Annotations.Add(new LineAnnotation
        {
            Type = LineAnnotationType.Horizontal,
            Y = right,
            XAxisKey = AcrossKey,
            YAxisKey = RightKey,
            Text = text,
            Color = OxyColors.Firebrick,
            LineStyle = LineStyle.Dash,
        });
        PlotAxis.Reach(_model.Axes[2], right);
        return this;
    }

    /// <summary>Writes the file, in place of what was there, which stays where that fails.</summary>
    public void Write(string file) => TextFile.Replace(file, Text());

    /// <summary>The text of the file.</summary>
    public string Text() => SvgText.Of(_model);

    private SvgPlot Add(string name, int number, IEnumerable<(double Across, double Up)> points, bool onRight, LineStyle style, MarkerType mark, int markDistance = 0)
    {
        var (colour, isHollow) = (Colours[number % Looks], number / Marks.Length % 2 == 1);
        var series = new LineSeries
        {
            Title = Legible(name) + (_model.Axes.Count < 3 ? "" : onRight ? " (right)" : " (left)"),
            Color = colour,
            LineStyle = style,
            MarkerType = mark,
            MarkerSize = 4,
            MarkerFill = isHollow ? OxyColors.White : colour,
            MarkerStroke = colour,
            MarkerStrokeThickness = 1.5,
            MarkerResolution = markDistance,
            XAxisKey = AcrossKey,
            YAxisKey = onRight ? RightKey : LeftKey,
        };
        series.Points.AddRange(points.Select(p => new DataPoint(p.Across, p.Up)));
        _model.Series.Add(series);
        series.Points.ForEach(p => PlotAxis.Reach(_model.Axes[onRight ? 2 : 1], p.Y));
        return this;
    }

    private static LineStyle Stroke(int number) => Strokes[number % Strokes.Length];

    private static string Legible(string name) => name.Length <= LongestName ? name : "..." + name[^(LongestName - 3)..];
}
