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
/// <param name="Title">The quantity, and its unit where it has one.</param>
/// <param name="Scale">How its values lie.</param>
internal sealed record PlotAxis(string Title, AxisScale Scale = AxisScale.Linear)
{
    /// <summary>By how much more than the largest value an axis from 0 on shows.</summary>
    private const double Above = 1.1;
    private const double Beside = 0.05;

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

    /// <summary>
    /// Makes room above a value on an axis from 0 on. The library makes it by the distance of the values from each other, which is none where they are equal.
    /// </summary>
    public static void Reach(Axis axis, double value)
    {
        if (axis.Minimum == 0 && value > 0)
        {
            axis.Maximum = double.IsNaN(axis.Maximum) ? Above * value : Math.Max(axis.Maximum, Above * value);
        }
    }

    private Axis Create() => Scale switch
    {
        AxisScale.Doubling => new LogarithmicAxis { Base = 2, MinorTickSize = 0, MinimumPadding = Beside, MaximumPadding = Beside, LabelFormatter = v => Plain(Math.Round(v)) },
        AxisScale.Logarithmic => new LogarithmicAxis { MinimumPadding = Beside, MaximumPadding = Beside, LabelFormatter = Plain },
        AxisScale.FromZero => new LinearAxis { Minimum = 0, LabelFormatter = Plain },
        _ => new LinearAxis { LabelFormatter = Plain },
    };

    /// <summary>What the library calls 1,000 may be a little less.</summary>
    private static string Plain(double value) => value.ToString(Math.Abs(value) is >= 999.5 and < 1e15 ? "N0" : "G4");
}
