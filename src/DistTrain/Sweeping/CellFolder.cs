using System.Text.Json;
using System.Text.Json.Nodes;
using DistTrain.Configuration;
using DistTrain.Coordinator;
using DistTrain.Core.Options;
using DistTrain.Launching;

namespace DistTrain.Sweeping;

/// <summary>How far a run of a sweep has come.</summary>
internal enum CellState
{
    /// <summary>Nothing of it is there.</summary>
    New,

    /// <summary>It has begun, and goes on.</summary>
    Begun,

    /// <summary>It is done, or has diverged: what it told once it would tell again.</summary>
    Done,
}

/// <summary>The folder of one run of a sweep, as a sweep finds it.</summary>
/// <param name="State">How far it has come.</param>
/// <param name="Problems">Why it cannot be used, in sentences that do not name it; then nothing was changed.</param>
internal sealed record CellFolder(CellState State, IReadOnlyList<string> Problems)
{
    /// <summary>Looks at a folder.</summary>
    /// <param name="folder">The folder.</param>
    /// <param name="options">The run's configuration as it is to be.</param>
    /// <param name="app">The program.</param>
    public static CellFolder Find(string folder, RunOptions options, Verbs.Application app)
    {
        if (!Directory.Exists(folder) || !CoordinatorHost.HoldsRun(folder))
        {
            return new CellFolder(CellState.New, []);
        }

        if (!File.Exists(RunFolder.ConfigurationIn(folder)))
        {
            return new CellFolder(CellState.Begun, ["The run has lost its config.yaml: delete the folder, and it is trained anew."]);
        }

        var began = RunConfiguration.Read(new ConfigurationRequest { Source = RunFolder.ConfigurationIn(folder) }, app.Recipes, app.Tasks);
        if (began.Problems.Count > 0)
        {
            return new CellFolder(CellState.Begun, began.Problems);
        }

        var problems = ResumeRules.Check(OptionsReader.Write(began.Options), options).Select(p => $"{p} Or name another --out.").ToList();
        return new CellFolder(IsDone(folder, began.Options, options) ? CellState.Done : CellState.Begun, problems);
    }

    /// <summary>Makes the folder ready for its run.</summary>
    /// <returns>Whether it holds a run to go on with.</returns>
    /// <exception cref="SweepException">It cannot be.</exception>
    public bool Prepare(string folder, RunOptions options)
    {
        try
        {
            var configuration = RunConfiguration.Write(options);
            if (State == CellState.Begun)
            {
                RunFolder.Rewrite(folder, configuration);
                return true;
            }

            if (RunFolder.TryTakeOver(folder, configuration))
            {
                return false;
            }

            var (_, problem, isPassing) = RunFolder.Claim(folder, options.Name, configuration);
            return problem is null ? false
                : throw (isPassing ? UnwrittenFile.Told(problem) : new SweepException($"{folder} is not empty, and holds no run that could go on: delete it."));
        }
        catch (Exception refused) when (UnwrittenFile.IsRefusal(refused))
        {
            throw UnwrittenFile.Told($"The run's folder {folder} cannot be written: {refused.Message}");
        }
    }

    private static bool IsDone(string folder, RunOptions began, RunOptions now)
    {
        if (Summary(folder) is not { } summary)
        {
            return false;
        }

        var (status, samples) = ((string?)summary["status"], (long?)summary["samples"] ?? 0);
        return status == "completed" ? began.Stop == now.Stop || samples >= now.Stop.Samples || CellResult.LowestLoss(folder) <= now.Stop.ValidationLoss
            : status == "failed" && CellResult.HasDiverged(folder);
    }

    /// <summary>The summary of a run; null where it has none that can be read.</summary>
    public static JsonNode? Summary(string folder)
    {
        try
        {
            return JsonNode.Parse(File.ReadAllText(Path.Combine(folder, "summary.json")));
        }
        catch (Exception none) when (none is IOException or UnauthorizedAccessException or JsonException)
        {
            return null;
        }
    }
}
