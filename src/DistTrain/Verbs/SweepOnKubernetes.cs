using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Text.Json.Nodes;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Kubernetes.Launching;
using DistTrain.Launching;
using DistTrain.Sweeping;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary>The arguments by which the runs of a sweep become Jobs of a cluster, and what is done then.</summary>
internal sealed class SweepOnKubernetes
{
    private readonly Option<string?> _on = new("--on") { Description = "Where the runs are trained: kubernetes makes each a Job of a cluster. This machine where left away.", HelpName = "kubernetes" };
    private readonly Option<string?> _queue = new("--queue") { Description = "The queue of Kueue, a LocalQueue of the namespace, in which the Jobs wait for their quota.", HelpName = "NAME" };
    private readonly Option<string?> _image = new("--image") { Description = "The image of the Jobs; the base's where left away.", HelpName = "IMAGE" };
    private readonly Option<string> _name = new("--name") { Description = "The first word of the Jobs' names.", HelpName = "NAME", DefaultValueFactory = _ => "sweep" };
    private readonly Option<bool> _dryRun = new("--dry-run") { Description = "Print the Jobs' manifests, and ask no cluster." };
    private readonly ClusterArguments _cluster;

    /// <summary>Adds the arguments to the verb.</summary>
    public SweepOnKubernetes(Command command)
    {
        _on.Validators.Add(result =>
        {
            if (Common.Given(result) != "kubernetes")
            {
                result.AddError($"--on is '{Common.Given(result)}': must be kubernetes, or left away for this machine.");
            }
        });
        Check(_queue, given => RunManifests.MistakeOfNamespace(given)?.Replace("--namespace", "--queue", StringComparison.Ordinal));
        Check(_image, RunManifests.MistakeOfImage);
        Check(_name, given => given.Length > RunNames.MaxLength - 5 ? $"--name is '{given}': must be at most {RunNames.MaxLength - 5} characters, as a number is added." : RunNames.Mistake(given));
        new Option[] { _on, _queue, _image, _name, _dryRun }.ToList().ForEach(command.Add);
        _cluster = new ClusterArguments(command);
        command.Validators.Add(result =>
        {
            foreach (var option in new Option[] { _queue, _image, _name, _dryRun }.Where(o => result.GetResult(_on) is null && result.GetResult(o) is { Implicit: false }))
            {
                result.AddError($"{option.Name} says something of Jobs: give --on kubernetes, too.");
            }
        });
    }

    /// <summary>Whether the runs are to be Jobs.</summary>
    public bool IsWanted(ParseResult parsed) => parsed.GetValue(_on) is not null;

    /// <summary>What keeps the runs from being Jobs.</summary>
    public static IReadOnlyList<string> Mistakes(ParseResult parsed, Application app, ConfigurationArguments configuration, BranchPoint? branch) =>
    [
        .. LaunchConfiguration.Of(configuration.ReadAll(parsed, app)).Mistakes,
        .. branch is null ? Array.Empty<string>() : ["--branch names a checkpoint of this machine, which a Job's pod does not see: leave --on away."],
    ];

    /// <summary>Makes the runs Jobs, and applies or prints them.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="app">The program.</param>
    /// <param name="configuration">The verb's arguments that say what is varied.</param>
    /// <param name="request">How.</param>
    /// <param name="json">Whether a program reads what is printed.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<int> RunAsync(
        ParseResult parsed, Application app, ConfigurationArguments configuration, SweepRequest request, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        var text = LaunchConfiguration.Of(configuration.ReadAll(parsed, app)).Text;
        var launch = new SweepLaunch(
            parsed.GetValue(_name)!, "", parsed.GetValue(_image), parsed.GetValue(_queue), text!, [.. request.Cells.Where(c => c.Seed == 0).Select(c => (c.Name, Arguments(c, request)))]);
        if (!parsed.GetValue(_dryRun))
        {
            using var supervision = new Supervision(supervised: false, cancellation);
            return await _cluster.WithClusterAsync(parsed, app, session => ApplyAsync(session, launch with { Namespace = session.Namespace }, surroundings, supervision.Stop));
        }

        try
        {
            var manifests = Manifests(launch with { Namespace = ClusterSession.NamespaceOf(_cluster.Choice(parsed), surroundings) });
            surroundings.Out.Write(json
                ? new JsonObject { ["apiVersion"] = "v1", ["kind"] = "List", ["items"] = new JsonArray([.. manifests]) }.ToJsonString() + "\n"
                : ManifestYaml.Write(manifests));
            return ExitCode.Success;
        }
        catch (ClusterException wrong)
        {
            surroundings.Fail(wrong.Message);
            return wrong.ExitCode;
        }
    }

    /// <summary>What a pod is started with: a sweep of one batch and rate. It ends with exit code 1 where it is stopped in the middle, and its Job starts another.</summary>
    private static IReadOnlyList<string> Arguments(SweepCell cell, SweepRequest request) =>
    [
        "sweep", SweepManifests.Configuration, "--batches", Text(cell.Batch), "--rates", Text(cell.Rate), "--optimizers", cell.Optimizer, "--parallel", "1", "--out", SweepManifests.Folder,
        .. request.Seeds > 1 ? ["--seeds", Text(request.Seeds)] : Array.Empty<string>(),
        .. request.Samples is { } samples ? ["--samples", Text(samples)] : Array.Empty<string>(),
        .. request.Target is { } target ? ["--target", Text(target)] : Array.Empty<string>(),
        .. request.KeepsSchedule ? ["--keep-schedule"] : Array.Empty<string>(),
    ];

    private static async Task<int> ApplyAsync(ClusterSession cluster, SweepLaunch launch, Surroundings surroundings, CancellationToken stop)
    {
        var manifests = Manifests(launch);
        var objections = await RunLauncher.TryAsync(cluster, manifests, stop);
        if (objections.Count > 0)
        {
            objections.ToList().ForEach(surroundings.Fail);
            surroundings.Error.WriteLine("Nothing was launched.");
            return ExitCode.Failure;
        }

        var (applied, objection) = await RunLauncher.ApplyAsync(cluster, manifests, stop);
        if (objection is not null)
        {
            surroundings.Fail(objection.Message);
            surroundings.Error.WriteLine($"{applied} of {Words.Count(manifests.Count, "object")} are there already: the same command applies the rest.");
            return objection.ExitCode;
        }

        surroundings.Out.WriteLine($"Launched {Words.Count(launch.Runs.Count, "Job")} in the namespace {cluster.Namespace}. When they are complete, fetch each one's folder, and the same command without --on reports on them:");
        surroundings.Out.WriteLine($"  kubectl --namespace {cluster.Namespace} wait --for=condition=complete --timeout=24h job --selector {RunNames.InstanceLabel}={launch.Name}");
        FetchCommands.Of(SweepManifests.JobNames(launch, 0), cluster.Namespace).ToList().ForEach(c => surroundings.Out.WriteLine($"  {c}"));
        surroundings.Out.WriteLine($"  likewise to {SweepManifests.JobNames(launch, launch.Runs.Count - 1).Run}; then copy what is in their cells/ into cells/ of the sweep's folder");
        return ExitCode.Success;
    }

    private static IReadOnlyList<JsonObject> Manifests(SweepLaunch launch) => SweepManifests.Of(BaseManifests.Load(), launch);

    private static void Check(Option option, Func<string, string?> mistake) => option.Validators.Add(result =>
    {
        if (result is { Implicit: false } && mistake(Common.Given(result)) is { } sentence)
        {
            result.AddError(sentence);
        }
    });

    private static string Text(IFormattable value) => value.ToString(value is double ? "R" : null, CultureInfo.InvariantCulture);
}
