using OxyPlot;
using OxyPlot.Legends;

namespace DistTrain.Views;

/// <summary>The names of a picture's lines, in rows below it: no line is behind them, and however long they are, they make the picture lower and not narrower.</summary>
internal sealed class PlotLegend : Legend
{
    /// <summary>The library centres the rows below the lines' area, which is not in the middle of the picture: wider ones would reach over its edge.</summary>
    private const double MostWidth = 640;

    /// <summary>Long enough to tell dashes from each other beside a mark.</summary>
    private const double SymbolLength = 52;

    /// <summary>An empty one.</summary>
    public PlotLegend()
    {
        (LegendPlacement, LegendPosition, LegendOrientation) = (LegendPlacement.Outside, LegendPosition.BottomCenter, LegendOrientation.Horizontal);
        (LegendSymbolLength, LegendMargin, LegendPadding, LegendLineSpacing) = (SymbolLength, 4, 4, 4);
    }

    /// <inheritdoc/>
    public override OxySize GetLegendSize(IRenderContext rc, OxySize availableLegendArea) =>
        base.GetLegendSize(rc, new OxySize(Math.Min(availableLegendArea.Width, MostWidth), availableLegendArea.Height));
}
