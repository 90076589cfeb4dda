using System.CommandLine;
using System.Globalization;
using DistTrain.Configuration;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Kubernetes.InCluster;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;
using DistTrain.Training.Native;
using DistTrain.Worker;
using DistTrain.Worker.Health;

namespace DistTrain.Verbs;

/// <summary><c>worker</c>: computes for a run until its coordinator dismisses it.</summary>
internal static class WorkerVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "worker",
            "Compute for a run: join its coordinator, take blocks of every step, leave when the run is finished.",
            "Examples:\n"
            + "  worker --coordinator http://127.0.0.1:5400\n"
            + "  worker --coordinator http://10.0.0.5:5400 --listen 0.0.0.0:0 --data /data/images\n"
            + "  worker --coordinator http://10.0.0.5:5400 my-run.yaml      refuse to join any other run\n"
            + "  worker --coordinator http://10.0.0.5:5400 --stay           wait for it as long as it takes, and for the next run afterwards");
        var configuration = new ConfigurationArguments(command, workers: null, "the coordinator's configuration");
        var coordinator = new Option<string>("--coordinator", "-c") { Description = "The coordinator's address.", HelpName = "URL", Required = true };
        coordinator.Validators.Add(result =>
        {
            if (!TryAddress(result.GetValueOrDefault<string>(), out _))
            {
                result.AddError($"--coordinator is '{Common.Given(result)}': must be an address such as http://127.0.0.1:5400"
                    + $"{(Common.Given(result).StartsWith("https:", StringComparison.OrdinalIgnoreCase) ? "; this version does not speak TLS" : "")}.");
            }
        });
        var listen = Common.Listen("127.0.0.1:0", "Where other workers reach it; port 0 lets the system choose.");
        var advertise = new Option<string?>("--advertise")
        {
            Description = "The name other workers reach it by, where that is not its own address on the route to the coordinator.",
            HelpName = "HOST[:PORT]",
        };
        var number = Common.WholeNumber("--number", "Its number, where a launcher gives one; debug.delayPerMicroBatch goes by it.", "N", 0, 4095);
        var wait = new Option<string?>("--wait")
        {
            Description = $"How long the coordinator may be out of reach; {Duration.Format(Timeouts.Default.FirstAnswer)} at the start and 45 times failureDetection later, where left away.",
            HelpName = "DURATION",
        };
        wait.Validators.Add(result =>
        {
            if (!Duration.TryParse(Common.Given(result), out var given) || given <= TimeSpan.Zero || given > TimeSpan.FromDays(1))
            {
                result.AddError($"--wait is '{Common.Given(result)}': must be a duration up to 24h, such as 30s or 5m.");
            }
        });
        var data = new Option<string?>("--data") { Description = "Where this machine keeps the data, instead of data.path, data.url or data.stream.", HelpName = "PATH" };
        var device = new Option<string?>("--device") { Description = "Where this worker computes, such as cpu or cuda:1, instead of device.", HelpName = "DEVICE" };
        command.Add(coordinator);
        command.Add(listen);
        command.Add(advertise);
        command.Add(number);
        command.Add(wait);
        command.Add(data);
        var stay = new Option<bool>("--stay")
        {
            Description = "Wait for a coordinator without a limit, and when a run has ended for the next one, until asked to end. A refusal still ends it.",
        };
        var health = HealthEndpoint.Option();
        var scaleDown = ClusterOptions.ScaleDown("In a cluster, the workers' Deployment: it is set to 0 where --job is over and no coordinator is there to do it.");
        var job = ClusterOptions.Job("In a cluster, the coordinator's Job, whose state is asked for while there is no coordinator.");
        command.Validators.Add(result =>
        {
            if (result.GetResult(job) is null != result.GetResult(scaleDown) is null)
            {
                result.AddError("--job and --scale-down need each other: one says whether a coordinator may come, the other what becomes of the workers if none does.");
            }

            if (result.GetResult(wait) is not null && result.GetResult(stay) is { Implicit: false })
            {
                result.AddError("--wait has no place beside --stay, which waits without a limit.");
            }
        });
        command.Add(device);
        command.Add(stay);
        command.Add(health);
        command.Add(scaleDown);
        command.Add(job);
        command.SetAction(async (parsed, cancellation) =>
        {
            var surroundings = app.Surroundings;
            RunOptions? options = null;
            if (configuration.Source(parsed) is not null)
            {
                options = configuration.Read(parsed, app);
                if (options is null)
                {
                    return ExitCode.Usage;
                }
            }
            else if (configuration.HasSets(parsed))
            {
                surroundings.Fail("--set needs a RECIPE or FILE to change: without one a worker takes the coordinator's configuration.");
                return ExitCode.Usage;
            }
            else if (surroundings.Environment.Keys.FirstOrDefault(k => k.StartsWith(RunConfiguration.Prefix, StringComparison.Ordinal)) is { } ignored)
            {
                surroundings.Error.WriteLine($"warning: {ignored} has no effect on a worker without RECIPE or FILE: it takes the coordinator's configuration.");
            }

            var vitals = new WorkerVitals(surroundings.Time);
            TryAddress(parsed.GetValue(coordinator), out var address);
            var settings = new WorkerSettings
            {
                Coordinator = address!,
                Listen = parsed.GetValue(listen)!,
                Advertise = parsed.GetValue(advertise),
                Number = parsed.GetValue(number) ?? -1,
                Patience = Duration.TryParse(parsed.GetValue(wait) ?? "", out var patience) ? patience : null,
                Options = options,
                DataPath = parsed.GetValue(data),
                Device = parsed.GetValue(device),
                Stay = parsed.GetValue(stay),
                Vitals = vitals,
                Tasks = app.Tasks,
                WasKilledForMemory = surroundings.Environment.GetValueOrDefault(MemoryKills.Variable) == "true",
                MemoryShare = long.TryParse(surroundings.Environment.GetValueOrDefault(HostMemory.Variable), NumberStyles.None, CultureInfo.InvariantCulture, out var share) ? share : null,
                Faults = FaultInjector.OfVariable(surroundings.Environment.GetValueOrDefault(FaultInjector.Variable), surroundings.Time),
            };

            // Torch reads its environment once, when it is loaded, which the worker does. A worker that was given no configuration sets it when it has the run's.
            if (options is not null)
            {
                CpuProfile.Apply(options.Threads, options.Instructions);
            }

            using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
            await using var endpoint = await HealthEndpoint.StartAsync(
                parsed.GetValue(health), vitals, new WorkerMeter(vitals), WorkerMeter.Name, surroundings, supervision.Stop);
            return endpoint is null
                ? ExitCode.Failure
                : await RunAsync(settings, parsed.GetValue(job), parsed.GetValue(scaleDown), surroundings, supervision.Stop);
        });
        return command;
    }

    private static async Task<int> RunAsync(WorkerSettings settings, string? job, string? deployment, Surroundings surroundings, CancellationToken stop)
    {
        var pod = new WorkerPod(surroundings);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var watching = pod.WatchAsync(job, deployment, () => settings.Vitals!.Absence, over.Token);
        RunOutcome? outcome = null;
        var code = await Common.EndAsync(async () => outcome = await WorkerHost.RunAsync(settings, surroundings.Time, stop), surroundings, stop);
        await over.CancelAsync();
        await watching;
        if (outcome is { IsRefusal: true })
        {
            await pod.TellRefusalAsync(outcome.Sentence);
        }

        return code;
    }

    private static bool TryAddress(string? text, out Uri? address) =>
        Uri.TryCreate(text, UriKind.Absolute, out address) && address.Scheme == Uri.UriSchemeHttp;
}
