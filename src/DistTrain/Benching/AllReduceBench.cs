using System.Diagnostics;
using DistTrain.Launching;
using DistTrain.Views;
using DistTrain.Worker.Benching;

namespace DistTrain.Benching;

/// <summary>What is measured of the all-reduce.</summary>
/// <param name="Workers">How many processes.</param>
/// <param name="Sizes">Bytes of the vector.</param>
/// <param name="Transports">By their names.</param>
/// <param name="Rounds">How often; the median counts.</param>
internal sealed record AllReducePlan(int Workers, IReadOnlyList<long> Sizes, IReadOnlyList<string> Transports, int Rounds)
{
    private const double WarmUpBytes = 2e9;
    private const double RoundBytes = 25e6;

    /// <summary>Before this many operations the numbers are the compiler's; of large ones fewer have to do.</summary>
    public static int WarmUp(long bytes) => (int)Math.Clamp(WarmUpBytes / bytes, 3, 20);

    /// <summary>Operations a round: small ones are done many at a time, or the command's own way would be measured.</summary>
    public static int Times(long bytes) => (int)Math.Clamp(RoundBytes / bytes, 1, 200);

    /// <summary>Native memory of all processes: each has its vector, two results, and what arrives out of order. Of vectors that no machine holds, too.</summary>
    public static Int128 Memory(int workers, long bytes) => (Int128)workers * 4 * bytes;
}

/// <summary>Measures all-reduces between worker processes of this machine, all transports in turns, and the same bytes copied in memory.</summary>
internal static class AllReduceBench
{
    /// <summary>How a worker of it is started.</summary>
    public static ProcessStartInfo Worker(ChildCommand program, int rank, int world) =>
        new(program.FileName, [.. program.Prefix, "exchange-worker", "--rank", $"{rank}", "--world", $"{world}"]);

    /// <summary>Measures.</summary>
    /// <param name="plan">What.</param>
    /// <param name="program">This program.</param>
    /// <param name="progress">Told what is under way.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="BenchException">A worker ended.</exception>
    public static async Task<AllReduceReport> RunAsync(AllReducePlan plan, ChildCommand program, Action<string> progress, CancellationToken cancellation)
    {
        await using var group = await BenchGroup.StartAsync(
            "worker", Enumerable.Range(0, plan.Workers).Select(rank => Worker(program, rank, plan.Workers)), cancellation);
        var (ways, missing) = (new List<string>(), new List<(string Transport, string Reason)>());
        foreach (var transport in plan.Transports)
        {
            if (await group.LinkAsync(transport, cancellation) is { } reason)
            {
                missing.Add((transport, reason));
            }
            else
            {
                ways.Add(transport);
            }
        }

        ways.Add(ExchangeWorker.Memcpy);
        var measured = new List<AllReduceLine>();
        foreach (var size in plan.Sizes)
        {
            progress($"{size:N0} bytes: {Words.Count(plan.Rounds, "round")} by {string.Join(", ", ways)}");
            measured.AddRange(await MeasureAsync(group, plan, size, ways, cancellation));
        }

        return new AllReduceReport(plan.Workers, plan.Rounds, measured, missing);
    }

    private static async Task<IEnumerable<AllReduceLine>> MeasureAsync(
        BenchGroup group, AllReducePlan plan, long size, IReadOnlyList<string> ways, CancellationToken cancellation)
    {
        foreach (var way in ways)
        {
            var times = AllReducePlan.WarmUp(size);
            await (way == ExchangeWorker.Memcpy ? group.RunAsync(way, size, times, cancellation) : group.WarmUpAsync(way, size, times, cancellation));
        }

        var runs = ways.ToDictionary(way => way, _ => new List<BenchRun>());
        for (var round = 0; round < plan.Rounds; round++)
        {
            // The order alternates, so that a drift of the machine's speed favours nobody.
            foreach (var way in round % 2 == 0 ? ways : ways.Reverse())
            {
                runs[way].Add(await group.RunAsync(way, size, AllReducePlan.Times(size), cancellation));
            }
        }

        return ways.Select(way => AllReduceLine.Of(way, plan.Workers, size, AllReducePlan.Times(size), runs[way]));
    }
}
