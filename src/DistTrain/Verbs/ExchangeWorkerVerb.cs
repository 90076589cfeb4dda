using System.CommandLine;
using DistTrain.Worker.Benching;

namespace DistTrain.Verbs;

/// <summary><c>exchange-worker</c>: a process that <c>bench allreduce</c> starts and talks to over its standard input and output. Not for people.</summary>
internal static class ExchangeWorkerVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var rank = Common.WholeNumber("--rank", "Its rank.", "N", 0, 1000, standard: 0);
        var world = Common.WholeNumber("--world", "How many there are.", "N", 1, 1000, standard: 1);
        var command = new VerbCommand("exchange-worker", "Exchange for bench allreduce, which starts this.", "Examples:\n  bench allreduce") { Hidden = true };
        command.Add(rank);
        command.Add(world);
        command.SetAction(async (parsed, _) =>
        {
            var problem = await ExchangeWorker.RunAsync(parsed.GetValue(rank), parsed.GetValue(world), Console.In, app.Surroundings.Out);
            if (problem is not null)
            {
                app.Surroundings.Fail(problem);
            }

            return problem is null ? ExitCode.Success : ExitCode.Failure;
        });
        return command;
    }
}
