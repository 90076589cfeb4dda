using OxyPlot;

namespace DistTrain.Views;

/// <summary>Pictures as the text of SVG files.</summary>
internal static class SvgText
{
    private const double Width = 800;
    private const double Height = 480;
    private const double TitleDistance = 14;

    /// <summary>The text of a file.</summary>
    public static string Of(PlotModel model)
    {
        model.DefaultFont = "Arial";
        foreach (var axis in model.Axes)
        {
            axis.AxisTitleDistance = TitleDistance;
        }

        return new SvgExporter { Width = Width, Height = Height, TextMeasurer = new WideMeasurer() }.ExportToString(model);
    }

    /// <summary>Who shows the picture may have a wider font than the one that was meant: nothing is to be cut off.</summary>
    private sealed class WideMeasurer() : PdfRenderContext(Width, Height, OxyColors.Transparent)
    {
        private const double Wider = 1.25;

        public override OxySize MeasureText(string text, string fontFamily, double fontSize, double fontWeight)
        {
            var size = base.MeasureText(text, fontFamily, fontSize, fontWeight);
            return new OxySize(size.Width * Wider, size.Height);
        }
    }
}
