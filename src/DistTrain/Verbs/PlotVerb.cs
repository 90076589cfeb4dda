using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using DistTrain.Plots;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary><c>plot</c>: a quantity of runs as a picture.</summary>
internal static class PlotVerb
{
    private const int MostRuns = 8;
    private const string Samples = "samples";
    private const string Steps = "steps";

    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "plot",
            "Draw a quantity of runs over their samples or steps, each run a line: validation loss or accuracy, training loss, learning rate, global batch, noise scale.",
            "Examples:\n"
            + "  plot runs/digits --out loss.svg\n"
            + "  plot runs/small runs/large --value validation.accuracy --range 0.8..1 --out accuracy.svg\n"
            + "  plot runs/decayed runs/grown --over steps --out steps.svg\n"
            + "  plot runs/digits --value noiseScale --log --out noise.svg\n\n"
            + "A quantity is a number in the lines of metrics.jsonl, such as loss, lr, globalBatch, gradNorm or samplesPerSecond, or in those of evaluations.jsonl with\n"
            + "validation. before its name, such as validation.loss. Runs that have more points than can be seen are drawn by the means of neighbours.");
        var runs = new Argument<string[]>("RUN") { Description = $"Folders of runs, {MostRuns} at most.", Arity = new ArgumentArity(1, MostRuns) };
        var value = new Option<string>("--value") { Description = "The quantity.", HelpName = "NAME", DefaultValueFactory = _ => RunCurve.Validation + "loss" };
        var over = new Option<string>("--over") { Description = "What it is over: samples, the same for any batch, or steps.", HelpName = $"{Samples}|{Steps}", DefaultValueFactory = _ => Samples };
        var range = new Option<(double Low, double High)?>("--range") { Description = "From where to where the axis upwards goes; all that there is where left away.", HelpName = "LOW..HIGH" };
        var log = new Option<bool>("--log") { Description = "Equal ratios take equal room on the axis upwards." };
        var file = Common.Svg("--out", "The file to write.");
        over.Validators.Add(result =>
        {
            if (!result.Implicit && Common.Given(result) is not (Samples or Steps))
            {
                result.AddError($"--over is '{Common.Given(result)}': must be {Samples} or {Steps}.");
            }
        });
        range.CustomParser = ReadRange;
        file.Required = true;
        command.Add(runs);
        new Option[] { value, over, range, log, file }.ToList().ForEach(command.Add);
        command.Validators.Add(result =>
        {
            if (result.GetValue(log) && result.GetResult(range) is { Errors: { } errors } && !errors.Any() && result.GetValue(range) is { Low: <= 0 })
            {
                result.AddError("--range begins at or below 0, and --log has room for numbers above 0 only: begin higher.");
            }
        });
        command.SetAction(parsed => Run(
            app.Surroundings, parsed.GetValue(runs)!, new Request(parsed.GetValue(value)!, parsed.GetValue(over)!, parsed.GetValue(range), parsed.GetValue(log), parsed.GetValue(file)!)));
        return command;
    }

    private static int Run(Surroundings surroundings, string[] runs, Request request)
    {
        string[] missing = [.. runs.Select(r => Common.Missing(r, "a run's folder")).OfType<string>().Distinct()];
        var read = missing.Length > 0 ? [] : runs.Select(r => RunCurve.Read(r, request.Value, request.Over == Steps)).ToList();
        var problems = missing.Concat(read.Select(r => r.Problem).OfType<string>()).Distinct().ToList();
        foreach (var problem in problems)
        {
            surroundings.Fail(problem);
        }

        if (problems.Count > 0)
        {
            return missing.Length > 0 ? ExitCode.Usage : ExitCode.Failure;
        }

        var quantity = Quantity.Of(request.Value);
        var plot = new SvgPlot(
            $"{quantity.Name} over {request.Over}", new PlotAxis(request.Over == Steps ? "steps" : "training samples used"), new PlotAxis(quantity.Title, request.IsLogarithmic ? AxisScale.Logarithmic : AxisScale.Linear));
        var table = new TextTable("run", "points", "lowest", "highest", "last");
        foreach (var (number, (name, curve)) in Names(runs).Zip(read.Select(r => r.Curve!)).Index())
        {
            plot.Curve(name, number, [.. curve.Points.Where(p => !request.IsLogarithmic || p.Up > 0)]);
            table.Add(name, $"{curve.Points.Count}", $"{curve.Points.Min(p => p.Up):G4}", $"{curve.Points.Max(p => p.Up):G4}", $"{curve.Points[^1].Up:G4}");
        }

        if (request.Range is var (low, high))
        {
            plot.Range(low, high);
        }

        plot.Write(request.File);
        table.Write(surroundings.Out);
        return ExitCode.Success;
    }

    /// <summary>The folders' names where they tell the runs apart, else their paths.</summary>
    private static IReadOnlyList<string> Names(string[] runs)
    {
        string[] names = [.. runs.Select(r => Path.GetFileName(Path.TrimEndingDirectorySeparator(Path.GetFullPath(r))))];
        return names.Distinct().Count() == names.Length ? names : runs;
    }

    private static (double Low, double High)? ReadRange(ArgumentResult result)
    {
        var given = result.Tokens is [var token, ..] ? token.Value : "";
        var ends = given.Split("..");
        if (ends.Length == 2 && IsNumber(ends[0], out var low) && IsNumber(ends[1], out var high) && low < high)
        {
            return (low, high);
        }

        result.AddError($"--range is '{given}': must be two numbers, the lower first, such as 0.8..1.");
        return null;
    }

    private static bool IsNumber(string text, out double number) => double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out number) && double.IsFinite(number);

    /// <summary>What is drawn, how, and where to.</summary>
    private sealed record Request(string Value, string Over, (double Low, double High)? Range, bool IsLogarithmic, string File);
}
