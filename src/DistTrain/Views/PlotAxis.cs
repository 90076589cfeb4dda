using OxyPlot;
using OxyPlot.Axes;

namespace DistTrain.Views;

/// <summary>How values lie along an axis.</summary>
internal enum AxisScale
{
    /// <summary>At equal distances, as far as there are points.</summary>
    Linear,

    /// <summary>Likewise, from 0 on.</summary>
    FromZero,

    /// <summary>Equal ratios at equal distances; all values above 0.</summary>
    Logarithmic,

    /// <summary>Likewise, named at powers of 2: sizes that double.</summary>
    Doubling,
}

/// <summary>An axis of a picture.</summary>
/// <param name="Title">The quantity.</param>
/// <param name="Scale">How its values lie.</param>
internal sealed record PlotAxis(string Title, AxisScale Scale = AxisScale.Linear)
{
    private const double Beside = 0.05;
    private const double Above = 0.1;

    /// <summary>The library's axis.</summary>
    /// <param name="position">Its side.</param>
    /// <param name="key">How lines name it.</param>
    public Axis At(AxisPosition position, string key)
    {
        var axis = Create();
        (axis.Position, axis.Key, axis.Title) = (position, key, Title);
        axis.MajorGridlineStyle = position == AxisPosition.Right ? LineStyle.None : LineStyle.Dot;
        return axis;
    }

    private Axis Create() => Scale switch
    {
        AxisScale.Doubling => new LogarithmicAxis { Base = 2, MinorTickSize = 0, MinimumPadding = Beside, MaximumPadding = Beside, LabelFormatter = v => $"{Math.Round(v):0}" },
        AxisScale.Logarithmic => new LogarithmicAxis { LabelFormatter = v => v.ToString(v is >= 1 and < 1e6 ? "0" : "G3") },
        AxisScale.FromZero => new LinearAxis { Minimum = 0, MaximumPadding = Above },
        _ => new LinearAxis(),
    };
}
