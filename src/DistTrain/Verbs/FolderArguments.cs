using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Coordinator;
using DistTrain.Core.Options;
using DistTrain.Launching;

namespace DistTrain.Verbs;

/// <summary>A run's folder as a verb was given it.</summary>
/// <param name="Options">The configuration to go by.</param>
/// <param name="Path">The folder, taken, with its <c>config.yaml</c>.</param>
/// <param name="Resume">Whether it holds a run to go on with.</param>
/// <param name="Checkpoint">The step of the checkpoint to go back to; null for the newest.</param>
/// <param name="Before">The configuration that the run had before; null for a new run.</param>
internal sealed record TakenFolder(RunOptions Options, string Path, bool Resume, long? Checkpoint, string? Before = null)
{
    /// <summary>The run did not go on: it keeps the configuration it had.</summary>
    public void GiveBack()
    {
        if (Before is not null)
        {
            RunFolder.Rewrite(Path, Before);
        }
    }
}

/// <summary>The arguments by which a verb is given a run's folder: <c>--out</c>, and where a run is to go on, <c>--resume</c> and <c>--checkpoint</c>.</summary>
internal sealed class FolderArguments
{
    private readonly Option<string?> _out = new("--out", "-o")
    {
        Description = "The run's folder, new or empty; runs/NAME, or the next free runs/NAME-2, where left away.",
        HelpName = "DIR",
    };

    private readonly Option<bool> _resume = new("--resume")
    {
        Description = "Go on with the run that the folder holds, by its own configuration where none is named; begin one where there is none.",
    };

    private readonly Option<long?> _checkpoint = new("--checkpoint")
    {
        Description = "The step of the checkpoint from which a resumed run goes on, where that is not the newest.",
        HelpName = "STEP",
    };

    /// <summary>Adds the arguments to a verb.</summary>
    public FolderArguments(Command command)
    {
        _checkpoint.Validators.Add(result =>
        {
            if (result.GetResult(_resume) is null)
            {
                result.AddError("--checkpoint needs --resume: a new run has no checkpoints.");
            }
        });
        command.Add(_out);
        command.Add(_resume);
        command.Add(_checkpoint);
    }

    /// <summary>Whether what kept a run from going on may pass: another coordinator that owns it, or the disk, and nothing that was said.</summary>
    public bool IsPassing { get; private set; }

    /// <summary>The folder of a run that may be there to go on with; null where none is named.</summary>
    public string? Resumed(ParseResult parsed) => parsed.GetValue(_resume) ? parsed.GetValue(_out) : null;

    /// <summary>Reads the configuration and takes the folder; on any mistake all of them are printed and nothing is changed.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="configuration">The verb's other arguments.</param>
    /// <param name="app">The program.</param>
    /// <param name="isTaken">Whether a launcher has taken the folder already.</param>
    /// <param name="check">Looks at the configuration before the folder is touched: whether it agrees with the verb's other arguments, else it has said why.</param>
    public TakenFolder? Take(
        ParseResult parsed, ConfigurationArguments configuration, Application app, bool isTaken = false, Func<RunOptions, bool>? check = null)
    {
        var (folder, resume, checkpoint) = (parsed.GetValue(_out), parsed.GetValue(_resume), parsed.GetValue(_checkpoint));
        var source = configuration.Source(parsed);
        if (configuration.Read(parsed, app, resume && source is null && folder is not null ? Own(folder) : null) is not { } options)
        {
            return null;
        }

        if (isTaken && folder is not null)
        {
            return new TakenFolder(options, folder, resume, checkpoint);
        }

        if (resume && folder is null && RunFolder.Newest(options.Name) is { } newest)
        {
            folder = newest;
            if (source is null && configuration.Read(parsed, app, Own(folder)) is var own)
            {
                if (own is null)
                {
                    return null;
                }

                options = own;
            }
        }

        if (check is not null && !check(options))
        {
            return null;
        }

        if (resume && folder is not null && CoordinatorHost.HoldsRun(folder))
        {
            return GoOn(options, folder, checkpoint, app);
        }

        if (checkpoint is not null)
        {
            app.Surroundings.Fail($"--checkpoint {checkpoint}: {folder ?? "runs"} holds no run to go on with.");
            return null;
        }

        if (resume && folder is not null && File.Exists(Path.Combine(folder, "metrics.jsonl")))
        {
            app.Surroundings.Fail($"{folder} holds the steps of a run and no journal/journal.jsonl: what its coordinator decided is lost with it. Restore the file, or begin a new run.");
            return null;
        }

        if (resume && folder is not null && RunFolder.TryTakeOver(folder, RunConfiguration.Write(options)))
        {
            return new TakenFolder(options, folder, Resume: false, Checkpoint: null);
        }

        (folder, var problem, IsPassing) = RunFolder.Claim(folder, options.Name, RunConfiguration.Write(options));
        if (folder is null)
        {
            app.Surroundings.Fail(problem!);
            return null;
        }

        return new TakenFolder(options, folder, Resume: false, Checkpoint: null);
    }

    private TakenFolder? GoOn(RunOptions options, string folder, long? checkpoint, Application app)
    {
        if (Own(folder) is null)
        {
            app.Surroundings.Fail($"The run in {folder} has lost its config.yaml: restore it (a checkpoint's manifest.json holds every key), or begin a new run.");
            return null;
        }

        var began = RunConfiguration.Read(new ConfigurationRequest { Source = RunFolder.ConfigurationIn(folder) }, app.Recipes, app.Tasks);
        string[] problems =
        [
            .. began.Problems.Count > 0 ? began.Problems : ResumeRules.Check(OptionsReader.Write(began.Options), options).Select(p => p.ToString()),
            .. CoordinatorHost.IsOwned(folder) ? new[] { $"Another coordinator owns the run in {folder}: end it first." } : [],
        ];
        foreach (var problem in problems)
        {
            app.Surroundings.Fail(problem);
        }

        if (problems.Length > 0)
        {
            IsPassing = problems.Length == 1 && CoordinatorHost.IsOwned(folder);
            return null;
        }

        try
        {
            var before = File.ReadAllText(RunFolder.ConfigurationIn(folder));
            RunFolder.Rewrite(folder, RunConfiguration.Write(options));
            return new TakenFolder(options, folder, Resume: true, checkpoint, before);
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            IsPassing = true;
            app.Surroundings.Fail($"The run's folder {folder} cannot be written: {refused.Message}");
            return null;
        }
    }

    private static string? Own(string folder) => File.Exists(RunFolder.ConfigurationIn(folder)) ? RunFolder.ConfigurationIn(folder) : null;
}
