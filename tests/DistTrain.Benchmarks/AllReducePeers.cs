using DistTrain.Benching;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Worker.Benching;

namespace DistTrain.Benchmarks;

/// <summary>
/// DistTrain's all-reduce beside PyTorch's by Gloo, between processes of this machine, in turns within one pair; and beside what sockets and memory do alone. Every transport
/// that the program has is measured, by its name.
/// </summary>
internal static class AllReducePeers
{
    private const string Gloo = "gloo";
    private const string Sockets = "sockets";

    public static async Task RunAsync(int pairs, int? world)
    {
        foreach (var workers in world is { } one ? [one] : new[] { 2, 4 })
        {
            await RunAsync(pairs, workers, workers == 2 ? [4_000, 1_000_000, 25_000_000, 100_000_000, 400_000_000] : [4_000, 1_000_000, 25_000_000, 100_000_000]);
        }

        Console.WriteLine("The time is that of the slowest process. busbw is 2 (W - 1) / W x size / time, as nccl-tests have it. Speed relative to Gloo is Gloo's time over the line's, of a pair: "
            + "above 1 is faster. CPU is of all processes, per GB that each sends. `sockets` sends and receives the same bytes with blocking calls and adds nothing, `memcpy` copies them. "
            + "Medians over pairs; 95 % intervals from order statistics.");
    }

    private static async Task RunAsync(int pairs, int world, long[] sizes)
    {
        var program = new ChildCommand("dotnet", [Path.Combine(AppContext.BaseDirectory, "disttrain.dll")]);
        await using var own = await BenchGroup.StartAsync("worker", Enumerable.Range(0, world).Select(rank => AllReduceBench.Worker(program, rank, world)), default);
        await using var gloo = await BenchGroup.StartAsync(Gloo, Peers.Scripts("gloo.py", world), default);
        await using var sockets = await BenchGroup.StartAsync(Sockets, Peers.Workers("socket-worker", world), default);
        var ways = new List<(string Name, BenchGroup Group)>();
        foreach (var (name, group) in ExchangeWorker.AllTransports.Select(t => (t, own)).Concat([(Gloo, gloo), (Sockets, sockets)]))
        {
            if (await group.LinkAsync(name, default) is { } reason)
            {
                Console.WriteLine($"{name} is not to be had here: {reason}.\n");
            }
            else
            {
                ways.Add((name, group));
            }
        }

        ways.Add((ExchangeWorker.Memcpy, own));
        Console.WriteLine($"## {world} workers\n\n{(await gloo.AskAsync("about", default))[0]}.\n");
        Console.WriteLine("| size | way | time, ms | fastest, ms | busbw, GB/s | speed relative to Gloo | CPU, s/GB |\n|---|---|---|---|---|---|---|");
        foreach (var size in sizes)
        {
            await MeasureAsync(ways, pairs, world, size);
        }

        Console.WriteLine($"\nLoad average: {Machine.LoadAverage()}\n");
    }

    private static async Task MeasureAsync(List<(string Name, BenchGroup Group)> ways, int pairs, int world, long size)
    {
        foreach (var (name, group) in ways)
        {
            var warmUp = AllReducePlan.WarmUp(size);
            await (ExchangeWorker.AllTransports.Contains(name) ? group.WarmUpAsync(name, size, warmUp, default) : group.RunAsync(name, size, warmUp, default));
        }

        var runs = ways.ToDictionary(w => w.Name, _ => new List<BenchRun>());
        var times = AllReducePlan.Times(size);
        for (var pair = 0; pair < pairs; pair++)
        {
            foreach (var (name, group) in pair % 2 == 0 ? ways : Enumerable.Reverse(ways))
            {
                runs[name].Add(await group.RunAsync(name, size, times, default));
            }
        }

        foreach (var (name, _) in ways)
        {
            var line = AllReduceLine.Of(name, world, size, times, runs[name]);
            var speed = Median.Of(runs[name].Zip(runs[Gloo], (way, peer) => peer.Milliseconds / way.Milliseconds));
            Console.WriteLine(
                $"| {ByteSize.Format(size)} | {name} | {line.Milliseconds.Value:0.000} | {line.Fastest:0.000} | {line.BusBandwidth:0.00} "
                + $"| {(name == Gloo ? "1" : speed)} | {line.CpuSecondsPerGb:0.00} |");
        }
    }
}
