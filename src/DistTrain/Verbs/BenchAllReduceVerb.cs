using System.CommandLine;
using DistTrain.Benching;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Worker.Benching;

namespace DistTrain.Verbs;

/// <summary><c>bench allreduce</c>: how fast workers of this machine exchange gradients, by each transport.</summary>
internal static class BenchAllReduceVerb
{
    private const string StandardSizes = "4KB,1MB,25MB,100MB,400MB";
    private const int MostWorkers = 64;

    /// <summary>Of the machine's memory, so that measuring never takes it from those who work.</summary>
    private const double MemoryShare = 0.5;

    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "allreduce",
            "Exchange vectors between worker processes as the steps of a run do, and say how fast each transport is.",
            "Examples:\n"
            + "  bench allreduce                                       2 workers, 4KB to 400MB, every transport\n"
            + "  bench allreduce --workers 4 --sizes 1MB,25MB --json   for programs: one object\n"
            + "  bench allreduce --transports tcp,grpc                 the others are not measured\n\n"
            + "Nothing is trained. On a machine that does something else besides, only compare the lines of one table.");
        var workers = Common.WholeNumber("--workers", "Worker processes.", "N", 2, MostWorkers, standard: 2);
        workers.Aliases.Add("-w");
        var sizes = Lists.Option("--sizes", "Sizes of the vector, such as 4KB,25MB (fp32 numbers, KB is 1000 bytes and KiB 1024).", "SIZE,...", StandardSizes, Sizes);
        var transports = Lists.Option(
            "--transports", $"What to measure, of {string.Join(", ", ExchangeWorker.AllTransports)}.", "NAME,...", string.Join(',', ExchangeWorker.AllTransports), Transports);
        var rounds = Common.WholeNumber("--rounds", "How often each is measured; the median counts.", "N", 1, 1000, standard: 15);
        var json = Common.Json("One JSON object instead of a table.");
        command.Add(workers);
        command.Add(sizes);
        command.Add(transports);
        command.Add(rounds);
        command.Add(json);
        command.SetAction(async (parsed, cancellation) =>
        {
            var plan = new AllReducePlan(parsed.GetValue(workers), parsed.GetValue(sizes)!.Values, parsed.GetValue(transports)!.Values, parsed.GetValue(rounds));
            var needed = AllReducePlan.Memory(plan.Workers, plan.Sizes.Max());
            var most = (long)(GC.GetGCMemoryInfo().TotalAvailableMemoryBytes * MemoryShare);
            if (needed > most)
            {
                app.Surroundings.Fail(
                    $"{plan.Workers} workers with vectors of {ByteSize.Format(plan.Sizes.Max())} take {(needed > long.MaxValue ? "more than 8 EiB" : ByteSize.Format((long)needed))}, more than half of the memory here: give smaller --sizes or fewer --workers.");
                return ExitCode.Usage;
            }

            return await RunAsync(plan, parsed.GetValue(json), app.Surroundings, cancellation);
        });
        return command;
    }

    private static async Task<int> RunAsync(AllReducePlan plan, bool json, Surroundings surroundings, CancellationToken cancellation)
    {
        using var supervision = new Supervision(surroundings.IsSupervised, cancellation);
        try
        {
            var report = await AllReduceBench.RunAsync(plan, surroundings.Program, surroundings.Error.WriteLine, supervision.Stop);
            if (json)
            {
                surroundings.Out.WriteLine(report.Json().ToJsonString());
            }
            else
            {
                report.Write(surroundings.Out);
            }

            return ExitCode.Success;
        }
        catch (BenchException e)
        {
            surroundings.Fail(e.Message);
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            surroundings.Fail("Stopped before all was measured.");
        }

        return ExitCode.Failure;
    }

    private static (long Value, string? Problem) Sizes(string text) =>
        ByteSize.TryParse(text, out var bytes) && bytes >= sizeof(float) ? (bytes, null)
        : ByteSize.IsTooMuch(text) ? (0, $"'{text}' must be less than 8 EiB, which is 2^63 bytes")
        : (0, $"'{text}' must be an amount of at least 4 bytes, such as 25MB or 4KiB");

    private static (string Value, string? Problem) Transports(string text) =>
        ExchangeWorker.AllTransports.Contains(text) ? (text, null) : (text, $"'{text}' must be one of {string.Join(", ", ExchangeWorker.AllTransports)}");
}
