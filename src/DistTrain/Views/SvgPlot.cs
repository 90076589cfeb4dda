using DistTrain.Records;
using OxyPlot;
using OxyPlot.Annotations;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace DistTrain.Views;

/// <summary>A picture of two quantities over a third, as an SVG file.</summary>
internal sealed class SvgPlot
{
    private const string LeftAxis = "left";
    private const string RightAxis = "right";

    private readonly PlotModel _model;

    /// <summary>An empty picture, over a quantity that doubles from point to point.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="across">What the points are over.</param>
    /// <param name="points">Where they are, all above 0.</param>
    /// <param name="left">The quantity on the left axis.</param>
    /// <param name="right">That on the right axis.</param>
    public SvgPlot(string title, string across, IReadOnlyCollection<int> points, string left, string right)
        : this(
            title,
            new LogarithmicAxis { Title = across, Base = 2, Minimum = points.Min() / 1.2, Maximum = points.Max() * 1.2, MinorTickSize = 0, LabelFormatter = value => $"{Math.Round(value):0}" },
            left,
            right,
            hasMarkers: true)
    {
    }

    /// <summary>An empty picture, of lines over a quantity from 0 on.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="across">What the points are over.</param>
    /// <param name="left">The quantity on the left axis.</param>
    /// <param name="right">That on the right axis.</param>
    public SvgPlot(string title, string across, string left, string right)
        : this(title, new LinearAxis { Title = across, Minimum = 0 }, left, right, hasMarkers: false)
    {
    }

    private SvgPlot(string title, Axis across, string left, string right, bool hasMarkers)
    {
        (across.Position, across.MajorGridlineStyle) = (AxisPosition.Bottom, LineStyle.Dot);
        _model = new PlotModel { Title = title, Background = OxyColors.White };
        _model.Axes.Add(across);
        _model.Axes.Add(new LinearAxis { Position = AxisPosition.Left, Key = LeftAxis, Title = left, Minimum = 0, MaximumPadding = 0.1, MajorGridlineStyle = LineStyle.Dot });
        _model.Axes.Add(new LinearAxis { Position = AxisPosition.Right, Key = RightAxis, Title = right, Minimum = 0, MaximumPadding = 0.1 });
        _model.Legends.Add(new Legend { LegendPosition = LegendPosition.TopLeft, LegendBackground = OxyColors.White });
        _model.Series.Add(new LineSeries { Title = left, YAxisKey = LeftAxis, Color = OxyColors.SteelBlue, MarkerType = hasMarkers ? MarkerType.Circle : MarkerType.None });
        _model.Series.Add(new LineSeries { Title = right, YAxisKey = RightAxis, Color = OxyColors.Peru, MarkerType = hasMarkers ? MarkerType.Square : MarkerType.None });
    }

    /// <summary>Adds a point.</summary>
    public SvgPlot Add(double across, double left, double right)
    {
        ((LineSeries)_model.Series[0]).Points.Add(new DataPoint(across, left));
        ((LineSeries)_model.Series[1]).Points.Add(new DataPoint(across, right));
        return this;
    }

    /// <summary>Marks a place on the way across with an upright line.</summary>
    public SvgPlot Mark(double across, string text)
    {
        _model.Annotations.Add(new LineAnnotation { Type = LineAnnotationType.Vertical, X = across, Text = text, Color = OxyColors.Gray, LineStyle = LineStyle.Dash });
        return this;
    }

    /// <summary>Marks a limit of the right quantity with a level line.</summary>
    public SvgPlot Limit(double right, string text)
    {
        _model.Annotations.Add(new LineAnnotation
        {
            Type = LineAnnotationType.Horizontal,
            Y = right,
            YAxisKey = RightAxis,
            Text = text,
            Color = OxyColors.Firebrick,
            LineStyle = LineStyle.Dash,
        });
        return this;
    }

    /// <summary>Writes the file, in place of what was there, which stays where that fails.</summary>
    public void Write(string file) => TextFile.Replace(file, Text());

    /// <summary>The text of the file.</summary>
    internal string Text() => SvgText.Of(_model);
}
