using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Cli.Tests;

/// <summary>The command line in this process, with a task of its own.</summary>
internal static class Cli
{
    public static DistTrainApp AppOf(
        Scenario scenario, TextWriter output, TextWriter error, string[] args, IReadOnlyDictionary<string, string>? environment = null)
    {
        var program = ChildCommand.OfThisProcess();
        var surroundings = new Surroundings
        {
            Out = output,
            Error = error,
            IsTerminal = ReferenceEquals(output, Console.Out) && !Console.IsOutputRedirected,
            Environment = environment ?? new Dictionary<string, string>(),
            Program = program with { Prefix = [.. program.Prefix, "stand-in", $"{scenario}"] },
        };
        return new DistTrainApp(args, Catalog(), surroundings).AddRecipes(typeof(Cli).Assembly);
    }

    public static async Task<(int Code, string Out, string Error)> RunAsync(params string[] args) =>
        await RunAsync(Scenario.Good, args);

    public static async Task<(int Code, string Out, string Error)> RunAsync(
        Scenario scenario, string[] args, IReadOnlyDictionary<string, string>? environment = null)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(TestContext.Current.CancellationToken);
        deadline.CancelAfter(TimeSpan.FromSeconds(60));
        var (output, error) = (new StringWriter(), new StringWriter());
        var code = await AppOf(scenario, output, error, args, environment).RunAsync(deadline.Token);
        return (code, output.ToString(), error.ToString());
    }

    public static TaskCatalog Catalog() =>
        new TaskCatalog().Add<ToyModel, ToyData>("toy", context => context.Data.Count switch
        {
            -1 => throw new DataException("data.path holds no numbers: put some there."),
            < 0 => throw new NotSupportedException($"Nobody counts to {context.Data.Count}."),
            _ => new ToyTask(context.Data.Count),
        });
}

/// <summary>The toy's keys below <c>model</c>.</summary>
internal sealed record ToyModel
{
    public string Name { get; init; } = "";

    public int Hidden { get; init; }
}

/// <summary>The toy's keys below <c>data</c>.</summary>
internal sealed record ToyData : IOptionRelations
{
    public string Name { get; init; } = "";

    public string? Path { get; init; }

    public long Count { get; init; }

    public IEnumerable<OptionProblem> Validate()
    {
        if (Count == 13)
        {
            yield return new OptionProblem("count", "13", "brings bad luck; choose another");
        }
    }
}

/// <summary>A task of a size and nothing else: it must never be asked to train.</summary>
internal sealed class ToyTask(long count) : ITrainingTask
{
    public IDataset Training { get; } = new Sized(count);

    public IDataset Validation { get; } = new Sized(count / 4);

    public IReadOnlyList<string> Metrics => ["accuracy"];

    public nn.Module BuildModel() => throw new NotSupportedException();

    public LossSum Loss(nn.Module model, TensorBatch batch) => throw new NotSupportedException();

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => throw new NotSupportedException();

    public void Dispose()
    {
    }

    private sealed class Sized(long count) : IDataset
    {
        public long Count => count;

        public string Fingerprint => $"{count}";

        public TensorBatch Load(ReadOnlySpan<long> samples) => throw new NotSupportedException();
    }
}
