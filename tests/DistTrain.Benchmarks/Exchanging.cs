using System.Diagnostics;
using System.Globalization;
using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Hosting;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Benchmarks;

/// <summary>
/// The all-reduce of a run, without training: every worker is a process of its own, offers a vector as its one node and waits for the sum of all. All transports and sizes
/// are measured in turns, beside the same bytes copied in memory by as many processes at once.
/// </summary>
internal static class Exchanging
{
    private const int Piece = 1 << 20;
    private static readonly string[] Ways = ["shared-memory", "tcp", "grpc"];
    private static readonly int[] Sizes = [4 << 10, 1_000_000, 25_000_000, 100_000_000];
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static async Task RunAsync(int pairs)
    {
        Console.WriteLine("Processes of one host; time of the slowest, from when all are ready. busbw is 2 (W - 1) / W x size / time, as nccl-tests have it. memcpy is every process copying "
            + "2 (W - 1) / W x size at once. Allocated is managed memory per all-reduce and worker; CPU is of all workers, per GB of busbw's bytes of one.\n");
        foreach (var world in new[] { 2, 4 })
        {
            await using var workers = new WorkerProcesses(world);
            foreach (var way in Ways)
            {
                await workers.LinkAsync(way);
            }

            Console.WriteLine($"\nW = {world}\n\n| transport | bytes | median ms | min ms | busbw GB/s | against memcpy | CPU s/GB | allocated KB |");
            Console.WriteLine("|---|---|---|---|---|---|---|---|");
            foreach (var size in Sizes)
            {
                await MeasureAsync(workers, world, size, pairs);
            }
        }
    }

    /// <summary>One worker: reads commands, says what they took.</summary>
    public static async Task WorkAsync(int rank, int world)
    {
        var groups = new PeerGroupDirectory(TimeProvider.System, Patience);
        await using var door = new LinkDoor(groups, TimeProvider.System);
        await using var server = GrpcListener.Create(
            "127.0.0.1:0",
            all => all.AddSingleton(new PeerService(groups, new StateSource())).AddSingleton<IConnectionListenerFactory>(new SharedPort(door)), LogLevel.Error);
        server.MapGrpcService<PeerService>();
        Console.WriteLine(await GrpcListener.StartAsync(server, "127.0.0.1:0", CancellationToken.None));
        var addresses = (await ReadAsync()).Select(a => new Uri($"http://{a}")).ToList();
        var generation = 0UL;
        var made = new Dictionary<string, Linked>();
        var (reducer, bytes) = (default(Reducer), 0);
        while (await ReadAsync() is [var verb, var way, .. var rest])
        {
            if (verb == "link")
            {
                var group = new PeerGroup(new RunTag(1, 1, ++generation), rank, addresses, Patience, door.Settings(way));
                groups.Set(group);
                if (!await group.LinkAsync(CancellationToken.None) || group.Ways.Any(w => w.Transport.Length > 0 && w.Transport != way))
                {
                    throw new InvalidOperationException($"Not linked by {way}: {string.Join("; ", group.Ways)}");
                }

                made[way] = new Linked(group);
                Console.WriteLine("linked");
                continue;
            }

            var (size, times) = (int.Parse(rest[0], CultureInfo.InvariantCulture), int.Parse(rest[1], CultureInfo.InvariantCulture));
            if (size != bytes)
            {
                reducer?.Dispose();
                (reducer, bytes) = (new Reducer(rank, world, size), size);
            }

            var (allocated, cpu, started) = (GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
            if (made.TryGetValue(way, out var linked))
            {
                await reducer!.ReduceAsync(linked, times);
            }
            else
            {
                reducer!.Copy(times);
            }

            var took = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            Console.WriteLine(string.Create(
                CultureInfo.InvariantCulture, $"{took} {(Environment.CpuUsage.TotalTime - cpu).TotalSeconds} {GC.GetTotalAllocatedBytes() - allocated}"));
        }

        foreach (var linked in made.Values)
        {
            await linked.Group.DisposeAsync();
        }

        reducer?.Dispose();
    }

    private static async Task<string[]> ReadAsync() => (await Console.In.ReadLineAsync() ?? "end").Split(' ');

    private static async Task MeasureAsync(WorkerProcesses workers, int world, int size, int pairs)
    {
        // Small ones are done many at a time, or the command's own way would be measured.
        var times = size < 100_000 ? 200 : size < 10_000_000 ? 20 : 1;
        var all = Ways.Append("memcpy").ToDictionary(w => w, _ => new List<(double Milliseconds, double Cpu, double Allocated)>());
        foreach (var way in all.Keys)
        {
            await workers.RunAsync(way, size, Math.Max(5, times));
        }

        for (var pair = 0; pair < pairs; pair++)
        {
            foreach (var way in pair % 2 == 0 ? all.Keys : all.Keys.Reverse())
            {
                all[way].Add(await workers.RunAsync(way, size, times));
            }
        }

        var bytes = 2.0 * (world - 1) / world * size;
        foreach (var (way, runs) in all)
        {
            var time = Median.Of(runs.Select(r => r.Milliseconds / times));
            var against = Median.Of(runs.Zip(all["memcpy"], (r, copy) => copy.Milliseconds / r.Milliseconds));
            var cpu = Median.Of(runs.Select(r => r.Cpu / times / (bytes / 1e9)));
            Console.WriteLine(
                $"| {way} | {size:N0} | {time.Value:0.000} | {runs.Min(r => r.Milliseconds) / times:0.000} | {bytes / time.Value / 1e6:0.00} | {against} | {cpu.Value:0.00} "
                + $"| {Median.Of(runs.Select(r => r.Allocated / times / world / 1024)).Value:0} |");
        }
    }

    /// <summary>A group, and how many operations it has done.</summary>
    private sealed class Linked(PeerGroup group)
    {
        public PeerGroup Group => group;

        public ulong Operation { get; set; }
    }

    /// <summary>All-reduces of one size, by whichever way; and copies.</summary>
    private sealed class Reducer : IDisposable
    {
        private readonly int _world;
        private readonly ParameterLayout _layout;
        private readonly ShardTable _shards;
        private readonly ReductionSpec _spec;
        private readonly NativeVector _own;
        private readonly ReducedVector[] _reduced;
        private int _done;

        public Reducer(int rank, int world, int bytes)
        {
            _world = world;
            _layout = new ParameterLayout([("p", [bytes / sizeof(float)], SlotKind.Parameter)]);
            _shards = new ShardTable(_layout.Tiles, world);
            _spec = ReductionSpec.Canonical(world, [.. Enumerable.Range(0, world).Select(r => WorkShare.Of(new BlockRange(r, r + 1)))]);
            _own = new NativeVector(_layout.Count);
            _reduced = [.. Enumerable.Range(0, 2).Select(_ => new ReducedVector(new NativeVector(_layout.Count), new double[_layout.Tiles.Count]))];
            for (var at = 0L; at < _own.Count; at += Piece)
            {
                _own.Span(at, (int)Math.Min(Piece, _own.Count - at)).Fill(rank + 1);
            }
        }

        public async Task ReduceAsync(Linked linked, int times)
        {
            for (var i = 0; i < times; i++)
            {
                var reduced = _reduced[++_done % 2];
                var group = linked.Group;
                var operation = new AllReduce(++linked.Operation, 0, group.Rank, _spec, _shards, _layout.Tiles, 0, reduced, group);
                group.Operations.Begin(operation);
                operation.Offer(new NodeId(0, group.Rank), _own, new NodeHeader(1, 1, []));
                await operation.Whole;
                if (reduced.Values.Span(_own.Count - 1, 1)[0] != _world * (_world + 1) / 2)
                {
                    throw new InvalidOperationException("The sum is wrong.");
                }
            }
        }

        public void Copy(int times)
        {
            for (var i = 0; i < times; i++)
            {
                var (at, left) = (0L, 2 * (_world - 1) * _own.Count / _world);
                while (left > 0)
                {
                    var count = (int)Math.Min(Math.Min(Piece, left), _own.Count - at);
                    _own.Span(at, count).CopyTo(_reduced[0].Values.Span(at, count));
                    (at, left) = ((at + count) % _own.Count, left - count);
                }
            }
        }

        public void Dispose()
        {
            _own.Dispose();
            Array.ForEach(_reduced, r => r.Values.Dispose());
        }
    }
}
