using System.Xml.Linq;
using DistTrain.Plots;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>Runs as a picture.</summary>
public sealed class PlotTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Each_run_is_a_line_with_its_name()
    {
        Run("small", 3);
        Run("large", 2);
        var (code, text, error) = await PlotAsync("--value", "validation.accuracy", "--range", "0..1", "--over", "steps");
        Assert.Equal((0, ""), (code, error));
        Assert.Matches("small +3 +0.1 +0.3 +0.3\n.*large +2 +0.1 +0.2 +0.2\n", text);
        var picture = XDocument.Load(_folder["plot.svg"]);
        var words = picture.Descendants().Where(e => e.Name.LocalName == "text").Select(e => e.Value).ToList();
        Assert.Superset(new HashSet<string> { "small", "large", "steps", "validation accuracy", "validation accuracy over steps" }, words.ToHashSet());
        Assert.Equal([_folder["plot.svg"]], Directory.GetFiles(_folder.Path));
    }

    [Theory]
    [InlineData("loss", false, "100:9 200:8 300:7")]
    [InlineData("loss", true, "1:9 2:8 3:7")]
    [InlineData("noiseScale", true, "2:50")]
    [InlineData("validation.loss", false, "0:4 100:3 200:2 300:1")]
    [InlineData("validation.accuracy", false, "100:0.1 200:0.2 300:0.3")]
    public void A_quantity_is_read_from_the_lines_that_have_it(string value, bool overSteps, string expected)
    {
        Run("small", 3);
        File.AppendAllText(_folder["small/metrics.jsonl"], """{"step":3,"samples":3""");
        var (curve, problem) = RunCurve.Read(_folder["small"], value, overSteps);
        Assert.Null(problem);
        Assert.Equal(expected, string.Join(" ", curve!.Points.Select(p => $"{p.Across}:{p.Up}")));
    }

    [Fact]
    public void Of_a_step_that_was_computed_twice_the_last_line_counts()
    {
        _folder.File("a/metrics.jsonl", """
            {"step":1,"samples":10,"loss":9}
            {"step":2,"samples":20,"loss":8}
            {"step":2,"samples":20,"loss":7}

            """);
        Assert.Equal([(10.0, 9.0), (20.0, 7.0)], RunCurve.Read(_folder["a"], "loss", overSteps: false).Curve!.Points);
    }

    [Theory]
    [InlineData(200)]
    [InlineData(201)]
    [InlineData(9380)]
    public void A_long_run_is_drawn_by_means(int count)
    {
        var points = RunCurve.Thin([.. Enumerable.Range(1, count).Select(i => ((double)i, 2.0 * i))]);
        Assert.InRange(points.Count, RunCurve.MostPoints / 2, RunCurve.MostPoints);
        Assert.All(points, p => Assert.Equal(2 * p.Across, p.Up));
        Assert.InRange(points[^1].Across, count * 0.99, count);
    }

    [Fact]
    public async Task A_quantity_that_no_line_has_is_answered_by_those_there_are()
    {
        Run("small", 3);
        Run("large", 3);
        var (code, _, error) = await PlotAsync("--value", "validation.perplexity");
        Assert.Equal(1, code);
        Assert.Contains("small has no numbers called validation.perplexity: give one of validation.accuracy, validation.loss.", error, StringComparison.Ordinal);
        Assert.False(File.Exists(_folder["plot.svg"]));
    }

    [Theory]
    [InlineData("--range", "1..0", "--range is '1..0': must be two numbers, the lower first")]
    [InlineData("--range", "0.8", "--range is '0.8'")]
    [InlineData("--range", "0..1", "--range begins at or below 0", "--log")]
    [InlineData("--over", "days", "error: --over is 'days': must be samples or steps.\n")]
    [InlineData("--out", "plot.png", "--out is 'plot.png': must name a file that ends with .svg.")]
    public async Task Bad_usage_is_named(string option, string given, string expected, params string[] others)
    {
        Run("small", 1);
        string[] rest = option == "--out" ? [] : ["--out", _folder["plot.svg"]];
        var (code, _, error) = await Cli.RunAsync(["plot", _folder["small"], option, given, .. rest, .. others]);
        Assert.Equal(2, code);
        Assert.Contains(expected, error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task What_is_no_run_is_named()
    {
        var (code, _, error) = await PlotAsync();
        Assert.Equal(2, code);
        Assert.Contains($"{_folder["small"]} does not exist: give a run's folder.", error, StringComparison.Ordinal);

        Run("small", 2);
        Run("large", 2);
        File.Delete(_folder["large/evaluations.jsonl"]);
        (code, _, error) = await PlotAsync();
        Assert.Equal(1, code);
        Assert.Contains("large holds no evaluations.jsonl", error, StringComparison.Ordinal);

        _folder.File("small/metrics.jsonl", "{}\n" + """{"step":1,"samples":1,"loss":1}""" + "\n");
        (code, _, error) = await PlotAsync("--value", "loss");
        Assert.Equal(1, code);
        Assert.Contains("metrics.jsonl is damaged at line 1", error, StringComparison.Ordinal);
    }

    private Task<(int Code, string Out, string Error)> PlotAsync(params string[] options) =>
        Cli.RunAsync(["plot", _folder["small"], _folder["large"], "--out", _folder["plot.svg"], .. options]);

    /// <summary>A run of so many steps of 100 samples, evaluated before the first and after each.</summary>
    private void Run(string name, int steps)
    {
        _folder.File($"{name}/metrics.jsonl", string.Concat(Enumerable.Range(1, steps).Select(i =>
            $$"""{"step":{{i}},"samples":{{100 * i}},"loss":{{10 - i}},"skipped":false,"weightsHash":"h","noiseScale":{{(i % 2 == 0 ? "50" : "null")}}}""" + "\n")));
        _folder.File($"{name}/evaluations.jsonl", """{"step":0,"samples":9,"loss":4,"metrics":{}}""" + "\n" + string.Concat(Enumerable.Range(1, steps).Select(i =>
            $$$"""{"step":{{{i}}},"samples":9,"loss":{{{4 - i}}},"metrics":{"accuracy":0.{{{i}}}}}""" + "\n")));
    }
}
