using System.Text.Json;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Records;

namespace DistTrain.Sweeping;

/// <summary>The files that a sweep leaves beside its runs.</summary>
internal static class SweepFiles
{
    /// <summary>The report that a browser shows.</summary>
    public const string Page = "report.html";

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true };

    /// <summary>Writes all of them.</summary>
    /// <exception cref="SweepException">One cannot be written; the others, and what the runs left, stay.</exception>
    public static void Write(SweepReport report)
    {
        var pictures = SweepPlots.Draw(report);
        foreach (var picture in pictures)
        {
            Put(picture.Name + ".svg", picture.Svg);
        }

        Put("config.yaml", YamlWriter.Write(OptionsReader.Write(report.Settings.Options), "the configuration that the sweep varies, every key as resolved"));
        Put("sweep.csv", SweepText.Csv(report));
        Put("sweep.json", SweepText.Json(report).ToJsonString(Indented) + "\n");
        Put(Page, SweepPage.Of(report, pictures));

        void Put(string name, string text)
        {
            try
            {
                TextFile.Replace(Path.Combine(report.Settings.Folder, name), text);
            }
            catch (Exception refused) when (UnwrittenFile.IsRefusal(refused))
            {
                throw UnwrittenFile.Told($"All runs are done, but {name} in {report.Settings.Folder} cannot be written: {refused.Message}");
            }
        }
    }
}
