using OxyPlot;
using OxyPlot.Axes;
using OxyPlot.Legends;
using OxyPlot.Series;

namespace DistTrain.Views;

/// <summary>A picture of lines over one quantity, as the text of an SVG file.</summary>
internal sealed class SvgChart
{
    private static readonly OxyColor[] Colours =
    [
        OxyColors.SteelBlue, OxyColors.Peru, OxyColors.SeaGreen, OxyColors.IndianRed, OxyColors.MediumPurple, OxyColors.DarkCyan, OxyColors.Goldenrod, OxyColors.DimGray,
    ];

    private readonly PlotModel _model;

    /// <summary>An empty picture.</summary>
    /// <param name="title">What it shows.</param>
    /// <param name="across">The quantity across, and whether its axis is logarithmic.</param>
    /// <param name="up">The quantity upwards, likewise.</param>
    public SvgChart(string title, (string Title, bool IsLogarithmic) across, (string Title, bool IsLogarithmic) up)
    {
        _model = new PlotModel { Title = title, TitleFontSize = 15, Background = OxyColors.White };
        _model.Axes.Add(Axis(AxisPosition.Bottom, across.Title, across.IsLogarithmic));
        _model.Axes.Add(Axis(AxisPosition.Left, up.Title, up.IsLogarithmic));
        _model.Legends.Add(new Legend { LegendPosition = LegendPosition.RightTop, LegendPlacement = LegendPlacement.Outside });
    }

    /// <summary>The axis upwards begins at 0 and ends here.</summary>
    public SvgChart Limit(double up)
    {
        (_model.Axes[1].Minimum, _model.Axes[1].Maximum) = (0, up);
        return this;
    }

    /// <summary>Adds a line through points, which are marked.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="colour">The number of its colour.</param>
    /// <param name="points">The points, all finite, above 0 where the axis is logarithmic.</param>
    /// <param name="joined">Whether the points are joined by the line.</param>
    public SvgChart Points(string name, int colour, IEnumerable<(double Across, double Up)> points, bool joined) =>
        Add(name, colour, points, marked: true, joined ? LineStyle.Solid : LineStyle.None);

    /// <summary>Adds a line without marks.</summary>
    public SvgChart Line(string name, int colour, IEnumerable<(double Across, double Up)> points, bool dashed = false) =>
        Add(name, colour, points, marked: false, dashed ? LineStyle.Dash : LineStyle.Solid);

    /// <summary>The text of the file.</summary>
    public string Text() => SvgText.Of(_model);

    private SvgChart Add(string name, int colour, IEnumerable<(double Across, double Up)> points, bool marked, LineStyle style)
    {
        var series = new LineSeries
        {
            Title = name,
            Color = Colours[colour % Colours.Length],
            LineStyle = style,
            MarkerType = marked ? MarkerType.Circle : MarkerType.None,
            MarkerFill = Colours[colour % Colours.Length],
        };
        series.Points.AddRange(points.Select(p => new DataPoint(p.Across, p.Up)));
        _model.Series.Add(series);
        return this;
    }

    private static Axis Axis(AxisPosition position, string title, bool isLogarithmic) => isLogarithmic
        ? new LogarithmicAxis { Position = position, Title = title, MajorGridlineStyle = LineStyle.Dot, LabelFormatter = v => v.ToString(v is >= 1 and < 1e6 ? "0" : "G3") }
        : new LinearAxis { Position = position, Title = title, MajorGridlineStyle = LineStyle.Dot };
}
