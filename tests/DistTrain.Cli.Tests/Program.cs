using DistTrain.TestKit;

namespace DistTrain.Cli.Tests;

/// <summary>
/// The test executable. Started with a verb it is a user's own program. Started as <c>stand-in SCENARIO VERB ...</c> it is a coordinator, a worker or a launcher of a run that trains nothing, so that
/// the launcher is tested with real processes; otherwise it runs the tests.
/// </summary>
internal static class Program
{
    private static async Task<int> Main(string[] args) => args switch
    {
        ["stand-in", var scenario, .. var rest] => await StandIn.RunAsync(Enum.Parse<Scenario>(scenario), rest),
        ["train" or "plan" or "tune" or "measure" or "coordinator" or "worker", ..] => await new DistTrainApp(args)
            .AddTask<PatternModel, PatternData>("pattern", context => new PatternTask(context))
            .RunAsync(),
        _ when args.Contains("--server") || args.Contains("--internal-msbuild-node") =>
            await Xunit.MicrosoftTestingPlatform.TestPlatformTestFramework.RunAsync(args, SelfRegisteredExtensions.AddSelfRegisteredExtensions),
        _ => await Xunit.Runner.InProc.SystemConsole.ConsoleRunner.Run(args),
    };
}
