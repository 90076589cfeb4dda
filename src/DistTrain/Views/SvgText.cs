using OxyPlot;

namespace DistTrain.Views;

/// <summary>Pictures as the text of SVG files.</summary>
internal static class SvgText
{
    private const double Width = 800;
    private const double Height = 480;
    private const double TitleDistance = 8;

    /// <summary>The font whose widths are known, and what stands in for it where a reader's machine does not have it.</summary>
    private const string Font = "Arial";
    private const string Fonts = Font + ", Helvetica, sans-serif";

    /// <summary>The text of a file.</summary>
    public static string Of(PlotModel model)
    {
        model.DefaultFont = Fonts;
        foreach (var axis in model.Axes)
        {
            axis.AxisTitleDistance = TitleDistance;
        }

        return new SvgExporter { Width = Width, Height = Height, TextMeasurer = new PixelMeasurer() }.ExportToString(model);
    }

    /// <summary>
    /// The library knows widths for PDF only, where it takes a size for pixels and answers in points, three quarters of what an SVG file shows. Who shows the picture may have a wider font besides.
    /// </summary>
    private sealed class PixelMeasurer() : PdfRenderContext(Width, Height, OxyColors.Transparent)
    {
        private const double PixelsPerPoint = 96.0 / 72;
        private const double Wider = 1.25;

        public override OxySize MeasureText(string text, string fontFamily, double fontSize, double fontWeight)
        {
            var size = base.MeasureText(text, Font, fontSize, fontWeight);
            return new OxySize(size.Width * PixelsPerPoint * Wider, size.Height * PixelsPerPoint);
        }
    }
}
