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

    private static readonly OxyColor[] Colours =
    [
        OxyColors.SteelBlue, OxyColors.Peru, OxyColors.SeaGreen, OxyColors.IndianRed, OxyColors.MediumPurple, OxyColors.DarkCyan, OxyColors.Goldenrod, OxyColors.DimGray,
    ];

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

        _model.Legends.Add(right is null
            ? new Legend { LegendPosition = LegendPosition.RightTop, LegendPlacement = LegendPlacement.Outside }
            : new Legend { LegendPosition = LegendPosition.TopLeft, LegendBackground = OxyColors.White });
    }

    /// <summary>Where the axis on the left begins and ends.</summary>
    public SvgPlot Range(double low, double high)
    {
        (_model.Axes[1].Minimum, _model.Axes[1].Maximum) = (low, high);
        return this;
    }

    /// <summary>Adds points.</summary>
    /// <param name="name">Their name.</param>
    /// <param name="colour">The number of their colour.</param>
    /// <param name="points">The points, all finite, above 0 where an axis is logarithmic.</param>
    /// <param name="joined">Whether a line joins them.</param>
    /// <param name="onRight">Whether they are of the quantity on the right.</param>
    public SvgPlot Points(string name, int colour, IEnumerable<(double Across, double Up)> points, bool joined, bool onRight = false) =>
        Add(name, colour, points, onRight, joined ? LineStyle.Solid : LineStyle.None, onRight ? MarkerType.Square : MarkerType.Circle);

    /// <summary>Adds a line without marks, likewise.</summary>
    public SvgPlot Line(string name, int colour, IEnumerable<(double Across, double Up)> points, bool dashed = false, bool onRight = false) =>
        Add(name, colour, points, onRight, dashed ? LineStyle.Dash : LineStyle.Solid, MarkerType.None);

    /// <summary>Marks a place on the way across with an upright line.</summary>
    public SvgPlot Mark(double across, string text)
    {
        _model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = across, XAxisKey = AcrossKey, YAxisKey = LeftKey, Text = text, Color = OxyColors.Gray, LineStyle = LineStyle.Dash });
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
        return this;
    }

    /// <summary>Writes the file, in place of what was there, which stays where that fails.</summary>
    public void Write(string file) => TextFile.Replace(file, Text());

    /// <summary>The text of the file.</summary>
    public string Text() => SvgText.Of(_model);

    private SvgPlot Add(string name, int colour, IEnumerable<(double Across, double Up)> points, bool onRight, LineStyle style, MarkerType mark)
    {
        var series = new LineSeries
        {
            Title = name,
            Color = Colours[colour % Colours.Length],
            LineStyle = style,
            MarkerType = mark,
            MarkerFill = Colours[colour % Colours.Length],
            XAxisKey = AcrossKey,
            YAxisKey = onRight ? RightKey : LeftKey,
        };
        series.Points.AddRange(points.Select(p => new DataPoint(p.Across, p.Up)));
        _model.Series.Add(series);
        return this;
    }
}
