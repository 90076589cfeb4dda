using System.CommandLine;
using System.CommandLine.Parsing;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using System.Reflection;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Core.Schedules;
using DistTrain.Sweeping;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary>What a sweep was asked for.</summary>
/// <param name="Recipe">The configuration.</param>
/// <param name="Optimizers">The update rules; one without a rate has the configuration's.</param>
/// <param name="Batches">The global batches.</param>
/// <param name="Rates">The learning rates.</param>
/// <param name="Target">The validation loss to compare at; null for one that every batch reaches.</param>
/// <param name="Samples">The samples of a run; null for the recipe's.</param>
/// <param name="Parallel">How many runs at a time; null for as many as compute without taking turns.</param>
/// <param name="Folder">The sweep's folder.</param>
/// <param name="KeepsSchedule">Whether the rate follows the recipe's schedule.</param>
/// <param name="Branch">The checkpoint that every run begins with; null for none.</param>
/// <param name="Seeds">How many seeds each batch and rate is trained with.</param>
internal sealed record SweepRequest(
    RunOptions Recipe, IReadOnlyList<SweepOptimizer> Optimizers, IReadOnlyList<long> Batches, IReadOnlyList<SweepRate> Rates, double? Target, long? Samples, int? Parallel, string Folder,
    bool KeepsSchedule, BranchPoint? Branch, int Seeds)
{
    /// <summary>What is varied: the configuration, from a checkpoint on as it goes on there.</summary>
    public RunOptions Options { get; } = Branch?.Continue(Recipe) ?? Recipe;

    /// <summary>The runs.</summary>
    public IReadOnlyList<SweepCell> Cells => SweepPlan.Cells(
        [.. Optimizers.Select(o => o.Rate > 0 ? o : o with { Rate = Options.Optimizer.LearningRate })], Batches, Rates, BatchScaling.ReferenceOf(Options), Seeds);
}

/// <summary>The arguments that say what is varied.</summary>
internal sealed class SweepArguments
{
    private const long MostBatch = 1L << 40;
    private const int MostCells = 1000;
    private const int MostSeeds = 100;

    /// <summary>Rates that suit most models, for optimizers that have such.</summary>
    private static readonly Dictionary<string, double> UsualRates = new() { ["sgd"] = 0.1, ["adam"] = 0.001, ["adamw"] = 0.001 };

    private static readonly string[] Known =
        [.. typeof(OptimizerOptions).GetProperty(nameof(OptimizerOptions.Name))!.GetCustomAttribute<AllowedValuesAttribute>()!.Values.Select(v => (string)v!)];

    private readonly Option<TypedList<long>> _batches = Lists.Option<long>(
        "--batches", "The global batches, such as 16,32,64,128.", "N,...", null, text =>
            long.TryParse(text, NumberStyles.None, CultureInfo.InvariantCulture, out var batch) && batch is >= 1 and <= MostBatch
                ? (batch, null)
                : (0, $"'{text}' must be a whole number between 1 and {MostBatch}"));

    private readonly Option<TypedList<SweepRate>> _rates = Lists.Option(
        "--rates", "The learning rates for each batch: as they are, or with an x as multiples of the recipe's, taken to the batch.", "RATE,...", "0.5x,1x,2x", ReadRate);

    private readonly Option<TypedList<SweepOptimizer>> _optimizers = Lists.Option(
        "--optimizers", "The update rules, each with a rate that suits the recipe's batch where it is not the recipe's own, such as sgd,adamw=0.002; the recipe's where left away.",
        "NAME[=RATE],...", null, ReadOptimizer);

    private readonly Option<double?> _target = Positive("--target", "The validation loss to compare batches at; one that every batch reaches where left away.", "LOSS");

    private readonly Option<long?> _samples = new("--samples") { Description = "The samples that each run may use; what the recipe's stop comes to where left away.", HelpName = "N" };

    private readonly Option<int?> _parallel = new("--parallel") { Description = "Runs at a time; as many as this machine has cores for where left away.", HelpName = "N" };

    private readonly Option<int> _seeds = Common.WholeNumber(
        "--seeds", "How many seeds each batch and rate is trained with, the recipe's and those after it; the intervals then contain what chance does.", "N", 1, MostSeeds, standard: 1);

    private readonly Option<string?> _out = new("--out", "-o") { Description = "The sweep's folder, new, or to go on with; sweeps/NAME where left away.", HelpName = "DIR" };

    private readonly Option<string?> _branch = new("--branch")
    {
        Description = "Begin every run with this checkpoint, a run's newest where a run is named, for the critical batch there; its run's configuration counts where no recipe is named.",
        HelpName = "CHECKPOINT",
    };

    private readonly Option<bool> _keep = new("--keep-schedule") { Description = "The learning rate follows the recipe's schedule, to its end at --samples, in place of staying constant after the warm-up." };

    /// <summary>Adds the arguments to the verb.</summary>
    public SweepArguments(Command command)
    {
        _batches.Required = true;
        _samples.CustomParser = result => Whole(result, "--samples", 1, 1L << 50);
        _parallel.CustomParser = result => (int?)Whole(result, "--parallel", 1, 1024);
        _out.Validators.Add(Common.NotEmpty);
        _branch.Validators.Add(Common.NotEmpty);
        _keep.Validators.Add(result =>
        {
            if (result is { Implicit: false } && result.GetResult(_branch) is not null)
            {
                result.AddError("--keep-schedule has no place beside --branch: from the checkpoint on the rate is constant.");
            }
        });
        new Option[] { _batches, _rates, _optimizers, _seeds, _target, _samples, _parallel, _out, _keep, _branch }.ToList().ForEach(command.Add);
    }

    /// <summary>Whether every run begins with a checkpoint, whose run then says what is configured where the command line does not.</summary>
    public bool Branches(CommandResult command) => command.GetResult(_branch) is not null;

    /// <summary>Finds the checkpoint to begin with.</summary>
    /// <returns>The checkpoint, null for none; and why there is none that can be read.</returns>
    public (BranchPoint? Branch, string? Missing) Branch(ParseResult parsed)
    {
        try
        {
            return (parsed.GetValue(_branch) is { } path ? BranchPoint.Find(path) : null, null);
        }
        catch (DataException missing)
        {
            return (null, missing.Message);
        }
    }

    /// <summary>Reads them.</summary>
    /// <returns>What is asked for, and what does not go together in it.</returns>
    public (SweepRequest Request, IReadOnlyList<string> Mistakes) Take(ParseResult parsed, RunOptions options, BranchPoint? branch)
    {
        var folder = parsed.GetValue(_out) ?? Path.Combine("sweeps", options.Name + (branch is null ? "" : $"-branch-{branch.Step}"));
        var request = new SweepRequest(
            options, parsed.GetValue(_optimizers)?.Values ?? [new SweepOptimizer(options.Optimizer.Name, 0)], parsed.GetValue(_batches)!.Values, parsed.GetValue(_rates)!.Values,
            parsed.GetValue(_target), parsed.GetValue(_samples), parsed.GetValue(_parallel), folder, parsed.GetValue(_keep), branch, parsed.GetValue(_seeds));
        request = request with { Optimizers = [.. request.Optimizers.Select(o => o.Rate > 0 || IsOwn(o, options) ? o : o with { Rate = UsualRates.GetValueOrDefault(o.Name) })] };
        return (request, [.. Mistakes(request)]);
    }

    private static bool IsOwn(SweepOptimizer optimizer, RunOptions options) => optimizer.Name == options.Optimizer.Name;

    private static IEnumerable<string> Mistakes(SweepRequest request)
    {
        if (request.Recipe.Batch.IsAuto)
        {
            yield return "batch.micro is auto: runs that each find a size of their own would not differ by the batch alone. Give a size; tune finds one.";
        }

        foreach (var optimizer in request.Optimizers.Where(o => o.Rate <= 0 && request.Rates.Any(r => r.IsMultiple)))
        {
            if (!IsOwn(optimizer, request.Recipe))
            {
                yield return $"--optimizers names {optimizer.Name}, for which no rate suits most models: give one for the recipe's batch of {BatchScaling.ReferenceOf(request.Options):N0}, such as {optimizer.Name}=0.01.";
            }
            else if (request.Options.Optimizer.LearningRate <= 0)
            {
                yield return request.Branch?.NoMultiples() ?? "optimizer.learningRate is 0, and 0 has no multiples: set it, or give --rates as they are, such as 0.01,0.02,0.05.";
            }
        }

        if ((long)request.Batches.Count * request.Rates.Count * request.Optimizers.Count * request.Seeds is > MostCells and var count)
        {
            yield return $"These are {count:N0} runs: give fewer batches, rates, optimizers or seeds, for {MostCells:N0} at most.";
        }

        if (request.Branch is { } branch && request.Target >= branch.Loss)
        {
            yield return $"--target is {request.Target}, and the checkpoint of step {branch.Step:N0} has a validation loss of {branch.Loss:G4}: give a lower one.";
        }
    }

    private static (SweepRate Rate, string? Problem) ReadRate(string text)
    {
        var isMultiple = text.EndsWith('x');
        return TryRate(isMultiple ? text[..^1] : text, out var rate)
            ? (new SweepRate(rate, isMultiple), null)
            : (default, $"'{text}' must be a rate above 0 such as 0.05, or a multiple such as 2x");
    }

    private static (SweepOptimizer Optimizer, string? Problem) ReadOptimizer(string text)
    {
        var (name, rate) = text.Split('=', 2) is [var first, var second] ? (first, second) : (text, null);
        var number = 0.0;
        return !Known.Contains(name) ? (default, $"'{text}' must be one of {string.Join(", ", Known)}, with a rate such as adamw=0.002 where wanted")
            : rate is not null && !TryRate(rate, out number) ? (default, $"'{rate}' must be a rate above 0")
            : (new SweepOptimizer(name, number), null);
    }

    private static bool TryRate(string text, out double rate) =>
        double.TryParse(text, NumberStyles.Float, CultureInfo.InvariantCulture, out rate) && rate is > 0 and <= 1e6;

    private static long? Whole(ArgumentResult result, string name, long from, long to)
    {
        var given = result.Tokens is [var token, ..] ? token.Value : "";
        if (long.TryParse(given, NumberStyles.None, CultureInfo.InvariantCulture, out var number) && number >= from && number <= to)
        {
            return number;
        }

        result.AddError($"{name} is '{given}': must be a whole number between {from} and {to}.");
        return null;
    }

    private static Option<double?> Positive(string name, string description, string help)
    {
        var option = new Option<double?>(name) { Description = description, HelpName = help };
        option.CustomParser = result =>
        {
            var given = result.Tokens is [var token, ..] ? token.Value : "";
            if (!double.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) || number is not (> 0 and < double.PositiveInfinity))
            {
                result.AddError($"{name} is '{given}': must be a number above 0.");
            }

            return number;
        };
        return option;
    }
}
