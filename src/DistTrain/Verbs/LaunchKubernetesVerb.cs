using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Kubernetes.Launching;
using DistTrain.Launching;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary><c>launch kubernetes</c>: a run in a cluster, followed to its end.</summary>
internal static class LaunchKubernetesVerb
{
    private const string StandardPatience = "15m";

    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "kubernetes",
            "Start a run in a Kubernetes cluster, and follow it; it goes on when this command ends.",
            "Examples:\n"
            + "  launch kubernetes my-run.yaml --workers 4 --image registry.example/team/disttrain:0.1.0\n"
            + "  launch kubernetes digits --set stop.epochs=50 --namespace team --name digits-2\n"
            + "  launch kubernetes my-run.yaml --workers 8 --dry-run | kubectl apply --server-side -f -\n"
            + "  launch kubernetes my-run.yaml --detach                 and later: status, logs, scale, delete\n\n"
            + "The run is a Job for the coordinator, with a volume for its folder, and a Deployment for the workers: the manifests of k8s/base,\n"
            + "which this program holds. What they do not fit (GPUs, spot nodes, queues) are overlays of k8s/ for kubectl apply --kustomize.\n"
            + "They are applied by the server (field manager disttrain, forced: what others changed in them is taken back).\n"
            + "Ctrl-C ends the following, not the run. A run that was deleted without its data goes on where it was when it is launched again.");
        var configuration = new ConfigurationArguments(command, workers: null, admits: true);
        var workers = new Option<int?>("--workers", "-w") { Description = "With how many workers the run begins; the base's number where left away. See 'scale' for later.", HelpName = "N" };
        workers.Validators.Add(result =>
        {
            if (!int.TryParse(Common.Given(result), out var given) || given is < 1 or > 4096)
            {
                result.AddError($"--workers is '{Common.Given(result)}': must be a whole number between 1 and 4096.");
            }
        });
        workers.CustomParser = result => result.Tokens is [var token, ..] && int.TryParse(token.Value, out var given) ? given : null;
        var image = new Option<string?>("--image") { Description = "The image of coordinator and workers; the base's where left away.", HelpName = "IMAGE" };
        var name = new Option<string>("--name")
        {
            Description = "The run's name in its namespace.",
            HelpName = "NAME",
            DefaultValueFactory = _ => RunNames.Base.Run,
        };
        var dryRun = new Option<bool>("--dry-run") { Description = "Print the manifests, and ask no cluster." };
        var detach = new Option<bool>("--detach") { Description = "Do not follow the run." };
        var patience = Durations("--start-timeout", "How long to wait for the coordinator's first pod to run.", StandardPatience);
        var json = Common.Json("One JSON object per event on standard output, the summary last; with --dry-run one List.");
        new Option[] { workers, image, name, dryRun, detach, patience, json }.ToList().ForEach(command.Add);
        var cluster = new ClusterArguments(command);
        command.SetAction(async (parsed, cancellation) =>
        {
            var surroundings = app.Surroundings;
            var (text, mistakes) = LaunchConfiguration.Of(configuration.ReadAll(parsed, app));
            mistakes = [.. mistakes, .. new[] { RunNames.Mistake(parsed.GetValue(name)!), parsed.GetValue(image) is { } i ? RunManifests.MistakeOfImage(i) : null }.OfType<string>()];
            if (mistakes.Count > 0)
            {
                mistakes.ToList().ForEach(surroundings.Fail);
                return ExitCode.Usage;
            }

            var launch = new Launch(
                new RunNames(parsed.GetValue(name)!), parsed.GetValue(image), parsed.GetValue(workers), text!, parsed.GetValue(detach), parsed.GetValue(json),
                Duration.TryParse(parsed.GetValue(patience)!, out var given) ? given : TimeSpan.Zero, cluster.Repeat(parsed), surroundings);
            if (parsed.GetValue(dryRun))
            {
                try
                {
                    return launch.Print(ClusterSession.NamespaceOf(cluster.Choice(parsed), surroundings));
                }
                catch (ClusterException wrong)
                {
                    surroundings.Fail(wrong.Message);
                    return wrong.ExitCode;
                }
            }

            using var supervision = new Supervision(supervised: false, cancellation);
            return await cluster.WithClusterAsync(parsed, app, session => launch.RunAsync(session, supervision.Stop));
        });
        return command;
    }

    /// <summary>An option that takes a duration.</summary>
    internal static Option<string> Durations(string name, string description, string standard)
    {
        var option = new Option<string>(name) { Description = description, HelpName = "DURATION", DefaultValueFactory = _ => standard };
        option.Validators.Add(result =>
        {
            if (!Duration.TryParse(result.GetValueOrDefault<string>() ?? "", out var given) || given <= TimeSpan.Zero || given > TimeSpan.FromDays(1))
            {
                result.AddError($"{name} is '{Common.Given(result)}': must be a duration up to 24h, such as 30s or 5m.");
            }
        });
        return option;
    }

    /// <summary>One launch, with all that the command line says.</summary>
    private sealed record Launch(
        RunNames Names, string? Image, int? Workers, string Configuration, bool Detach, bool Json, TimeSpan Patience, string Choice, Surroundings Surroundings)
    {
        private TextWriter Out => Surroundings.Out;

        /// <summary>Prints the manifests.</summary>
        public int Print(string space)
        {
            var manifests = Manifests(space);
            Out.Write(Json
                ? new JsonObject { ["apiVersion"] = "v1", ["kind"] = "List", ["items"] = new JsonArray([.. manifests]) }.ToJsonString() + "\n"
                : ManifestYaml.Write(manifests));
            return ExitCode.Success;
        }

        /// <summary>Launches the run, and follows it where that is wanted.</summary>
        public async Task<int> RunAsync(ClusterSession cluster, CancellationToken stop)
        {
            try
            {
                if (await PutAsync(cluster, stop) is { } code)
                {
                    return code;
                }
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                Surroundings.Fail($"Stopped before the run {Names.Run} was launched whole: 'delete {Names.Run}{Choice}' removes what is there.");
                return ExitCode.Failure;
            }

            try
            {
                return Detach ? Detached(cluster) : await FollowAsync(cluster, stop);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                Surroundings.Error.WriteLine($"Not followed any more; the run {Names.Run} goes on in the namespace {cluster.Namespace}.");
                Surroundings.Error.Write(WhatNow());
                return ExitCode.Success;
            }
        }

        private IReadOnlyList<JsonObject> Manifests(string space) =>
            RunManifests.Of(BaseManifests.Load(), new LaunchRequest(Names, space, Image, Workers, Configuration));

        /// <returns>The exit code where the run is not launched; else null.</returns>
        private async Task<int?> PutAsync(ClusterSession cluster, CancellationToken stop)
        {
            var before = await RunSnapshot.TakeAsync(cluster, Names, stop);
            if (before.Job is not null || before.Workers is not null)
            {
                Surroundings.Fail($"The run {Names.Run} exists in the namespace {cluster.Namespace} and is {StatusText.Word(before.Phase)}: a run is not changed by launching it again. "
                    + $"Follow it by 'status {Names.Run}{Choice}', delete it by 'delete {Names.Run}{Choice}', or launch under another --name.");
                return ExitCode.Failure;
            }

            var manifests = Manifests(cluster.Namespace);
            var objections = await RunLauncher.TryAsync(cluster, manifests, stop);
            if (objections.Count > 0)
            {
                objections.ToList().ForEach(Surroundings.Fail);
                Surroundings.Error.WriteLine("Nothing was launched.");
                return ExitCode.Failure;
            }

            var (applied, objection) = await RunLauncher.ApplyAsync(cluster, manifests, stop);
            if (objection is not null)
            {
                Surroundings.Fail(objection.Message);
                Surroundings.Error.WriteLine($"{applied} of {Words.Count(manifests.Count, "object")} are there already: remove them by 'delete {Names.Run}{Choice}', then launch again.");
                return objection.ExitCode;
            }

            Say(
                new JsonObject { ["event"] = "launched", ["name"] = Names.Run, ["namespace"] = cluster.Namespace, ["objects"] = manifests.Count, ["resumes"] = before.Volume is not null },
                $"Launched {Names.Run} in the namespace {cluster.Namespace} with {Words.Count(Wanted(manifests), "worker")}."
                + (before.Volume is null ? "" : $" The volume claim {Names.Volume} was there already: where it holds a run, that run goes on."));
            return null;
        }

        private int Detached(ClusterSession cluster)
        {
            if (!Json)
            {
                Out.Write(WhatNow());
                Out.Write(Fetch(cluster.Namespace, "When it is completed, fetch its folder:"));
            }

            return ExitCode.Success;
        }

        private async Task<int> FollowAsync(ClusterSession cluster, CancellationToken stop)
        {
            LocalRunResult result;
            await using (var viewer = RunViewers.For(Surroundings, Json))
            {
                result = await new RunFollower(cluster, Names, viewer, Patience).FollowAsync(stop);
            }

            RunSummary.Write(Out, result, $"/run on the volume claim {Names.Volume}", Json);
            if (!result.Success)
            {
                Surroundings.Fail(result.Sentence);
                Surroundings.Error.Write(WhatNow());
                return ExitCode.Failure;
            }

            if (!Json)
            {
                Out.Write(Fetch(cluster.Namespace, "Fetch its folder, with the checkpoints:"));
            }

            return ExitCode.Success;
        }

        private string WhatNow() =>
            $"  status {Names.Run}{Choice}\n  logs {Names.Run}{Choice} --follow\n  scale {Names.Run}{Choice} --workers N\n  delete {Names.Run}{Choice}\n";

        private string Fetch(string space, string head) => $"{head}\n{string.Concat(FetchCommands.Of(Names, space).Select(c => $"  {c}\n"))}";

        private void Say(JsonObject json, string sentence)
        {
            Out.WriteLine(Json ? json.ToJsonString() : sentence);
            Out.Flush();
        }

        private static int Wanted(IEnumerable<JsonObject> manifests) =>
            int.Parse(manifests.First(m => (string?)m["kind"] == "Deployment")["spec"]!["replicas"]!.ToJsonString());
    }
}
