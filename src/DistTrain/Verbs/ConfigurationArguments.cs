using System.CommandLine;
using System.CommandLine.Parsing;
using DistTrain.Configuration;
using DistTrain.Core.Options;

namespace DistTrain.Verbs;

/// <summary>The arguments by which a verb is given a configuration: a recipe or file, <c>--set</c>, and where wanted <c>--workers</c>.</summary>
internal sealed class ConfigurationArguments
{
    /// <summary>The name of the option that sets a key.</summary>
    public const string SetName = "--set";

    private readonly Argument<string?> _source;

    private readonly Option<string[]> _sets = new(SetName)
    {
        Description = "Change one key of the configuration, such as --set batch.global=4096. May be repeated; the last wins.",
        HelpName = "KEY=VALUE",
        Arity = ArgumentArity.OneOrMore,
        DefaultValueFactory = _ => [],
    };

    private readonly Option<string?>? _workers;
    private readonly Option<bool>? _mixed;
    private Func<CommandResult, bool> _names = _ => false;

    /// <summary>Adds the arguments to a verb.</summary>
    /// <param name="command">The verb.</param>
    /// <param name="workers">What <c>--workers</c> means to it; null for a verb without.</param>
    /// <param name="otherwise">What counts where no recipe or file is named.</param>
    /// <param name="admits">Whether the verb begins a run, and so decides which hosts may take part.</param>
    public ConfigurationArguments(Command command, string? workers, string otherwise = "the default recipe", bool admits = false)
    {
        _source = new Argument<string?>("RECIPE|FILE")
        {
            Description = $"A recipe's name (see 'recipes') or the path of a YAML file; {otherwise} where left away.",
            Arity = ArgumentArity.ZeroOrOne,
        };
        command.Add(_source);
        command.Add(_sets);
        if (workers is not null)
        {
            _workers = new Option<string?>("--workers", "-w") { Description = workers, HelpName = "N" };
            command.Add(_workers);
        }

        if (admits)
        {
            _mixed = new Option<bool>("--allow-mixed-hosts")
            {
                Description = "Admit workers that compute other bits than the first; the run then promises no equal bits, and says so.",
            };
            command.Add(_mixed);
        }
    }

    /// <summary>For verbs whose other arguments may name what counts where no recipe or file is named.</summary>
    /// <param name="names">Whether a command line does so.</param>
    public void MayDependOn(Func<CommandResult, bool> names) => _names = names;

    /// <summary>What the command line names, or null.</summary>
    public string? Source(ParseResult parsed) => parsed.GetValue(_source);

    /// <summary>Whether the command line changes a key.</summary>
    public bool HasSets(ParseResult parsed) => parsed.GetValue(_sets) is { Length: > 0 };

    /// <summary>Reads the configuration; on any mistake all of them are printed and there are no options.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="app">The program.</param>
    /// <param name="otherwise">The file that counts where the command line names none; null for the default recipe.</param>
    /// <param name="standardWorkers">How many workers there are where the command line does not say; 0 to leave that to the other layers.</param>
    public RunOptions? Read(ParseResult parsed, Application app, string? otherwise = null, int standardWorkers = 0)
    {
        var (options, problems) = ReadAll(parsed, app, otherwise, standardWorkers);
        foreach (var problem in problems)
        {
            app.Surroundings.Fail(problem);
        }

        return problems.Count == 0 ? options : null;
    }

    /// <summary>The mistakes of the configuration where the command line has some, too; none where those leave open what it says.</summary>
    public IReadOnlyList<string> ProblemsBeside(ParseResult parsed, Application app)
    {
        // A misspelt option is taken for a recipe's name.
        var isClear = parsed.UnmatchedTokens.Count == 0 && Source(parsed) is not ['-', ..]
            && (Source(parsed) is not null || !_names(parsed.CommandResult))
            && !parsed.Errors.Any(e => e.SymbolResult is OptionResult { Option: var option } && (option == _sets || option == _workers));
        return isClear ? ReadAll(parsed, app).Problems : [];
    }

    /// <summary>Reads the configuration, with all its mistakes, and prints nothing.</summary>
    public RunConfiguration ReadAll(ParseResult parsed, Application app, string? otherwise = null, int standardWorkers = 0)
    {
        var workers = _workers is null ? null : parsed.GetValue(_workers) ?? (standardWorkers > 0 ? $"{standardWorkers}" : null);
        var request = new ConfigurationRequest
        {
            Source = Source(parsed) ?? otherwise,
            Environment = app.Surroundings.Environment,
            Sets = parsed.GetValue(_sets) ?? [],
            Flags =
            [
                .. workers is null ? [] : new[] { ("--workers", "workers", workers) },
                .. _mixed is not null && parsed.GetValue(_mixed) ? new[] { ("--allow-mixed-hosts", "allowMixedHosts", "true") } : [],
            ],
        };
        return RunConfiguration.Read(request, app.Recipes, app.Tasks);
    }
}
