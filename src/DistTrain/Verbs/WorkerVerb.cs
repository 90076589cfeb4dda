using System.CommandLine;
using DistTrain.Configuration;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;
using DistTrain.Training.Native;
using DistTrain.Worker;

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
            + "  worker --coordinator http://10.0.0.5:5400 my-run.yaml      refuse to join any other run");
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
        var number = Common.WholeNumber("--number", "Its number, where a launcher gives one; debug.delayPerMicroBatch goes by it.", "N", 0, 4095, standard: -1);
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
        command.Add(device);
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

            TryAddress(parsed.GetValue(coordinator), out var address);
            var settings = new WorkerSettings
            {
                Coordinator = address!,
                Listen = parsed.GetValue(listen)!,
                Advertise = parsed.GetValue(advertise),
                Number = parsed.GetValue(number),
                Patience = Duration.TryParse(parsed.GetValue(wait) ?? "", out var patience) ? patience : null,
                Options = options,
                DataPath = parsed.GetValue(data),
                Device = parsed.GetValue(device),
                Tasks = app.Tasks,
                Faults = FaultInjector.OfVariable(surroundings.Environment.GetValueOrDefault(FaultInjector.Variable), surroundings.Time),
            };

            // Torch reads these once, when it is loaded, which the worker does.
            CpuProfile.Apply(options?.Threads ?? 1);
            using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
            return await Common.EndAsync(() => WorkerHost.RunAsync(settings, surroundings.Time, supervision.Stop), surroundings, supervision.Stop);
        });
        return command;
    }

    private static bool TryAddress(string? text, out Uri? address) =>
        Uri.TryCreate(text, UriKind.Absolute, out address) && address.Scheme == Uri.UriSchemeHttp;
}
