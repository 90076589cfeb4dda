using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;
using DistTrain.Worker.Health;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Benchmarks;

/// <summary>
/// How fast a joiner gets its state from a member: against the same frames sent and put into place by nobody but the transport, while nothing trains; and what it
/// costs the member's steps. Source and joiner share a process and two cores, over a real socket on loopback.
/// </summary>
internal static class Healing
{
    private const ulong Run = 7;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    public static async Task RunAsync(int pairs, int steps, int millions)
    {
        await using var source = new LargeState(millions * 1_000_000L);
        await using var joiner = new LargeState(millions * 1_000_000L);
        Console.WriteLine($"A state of {source.Bytes / 1e6:0} MB: {source.Replica.Layout.Count:N0} parameters with momentum.\n");
        var states = new StateSource();
        states.Set(Run, source.Executor.FeedAsync);
        await using var peers = await Server.StartAsync(new PeerService(new PeerGroupDirectory(TimeProvider.System, Patience), states));
        await using var plain = await Server.StartAsync(new PlainSource(source));
        await source.StepAsync(1);
        await PausedAsync(pairs, source, joiner, peers.Address, plain.Address);
        await TrainingAsync(pairs, steps, source, joiner, peers.Address);
        Console.WriteLine("Medians over pairs; 95 % intervals from order statistics.");
    }

    private static async Task PausedAsync(int pairs, LargeState source, LargeState joiner, Uri peers, Uri plain)
    {
        Console.WriteLine("Nothing trains:\n\n| pair | raw s | GB/s | heal s | GB/s | heal / raw speed |");
        Console.WriteLine("|---|---|---|---|---|---|");
        var ratios = new List<double>();
        for (var pair = -1; pair < pairs; pair++)
        {
            // Who goes first alternates, so that a drift of the machine's speed favours neither.
            var first = pair % 2 == 0;
            var a = await TimeAsync(() => first ? CopyAsync(plain, joiner) : HealAsync(peers, joiner));
            var b = await TimeAsync(() => first ? HealAsync(peers, joiner) : CopyAsync(plain, joiner));
            var (raw, heal) = first ? (a, b) : (b, a);
            if (pair < 0)
            {
                continue;
            }

            ratios.Add(raw.Wall / heal.Wall);
            Console.WriteLine($"| {pair + 1} | {raw.Wall:0.00} | {source.Bytes / raw.Wall / 1e9:0.00} | {heal.Wall:0.00} | {source.Bytes / heal.Wall / 1e9:0.00} | {ratios[^1]:0.000} |");
        }

        Console.WriteLine($"\nHeal / raw, speed: {Median.Of(ratios)} (target 0.7)\n");
    }

    private static async Task TrainingAsync(int pairs, int steps, LargeState source, LargeState joiner, Uri peers)
    {
        Console.WriteLine($"The source trains, {steps} steps with a heal that begins with the first, against {steps} without:\n");
        Console.WriteLine("| pair | alone s | with s | added s | heal s | heal's CPU s | added / (CPU / cores) |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        var ratios = new List<double>();
        for (var pair = -1; pair < pairs; pair++)
        {
            var first = pair % 2 == 0;
            var a = first ? await AloneAsync() : await WithAsync();
            var b = first ? await WithAsync() : await AloneAsync();
            var (alone, with) = first ? (a, b) : (b, a);
            if (with.Heal > with.Wall)
            {
                throw new InvalidOperationException($"The heal took {with.Heal:0.0} s, the steps {with.Wall:0.0} s: give more --steps.");
            }

            if (pair < 0)
            {
                continue;
            }

            var (added, cost) = (with.Wall - alone.Wall, with.Cpu - alone.Cpu);
            ratios.Add(added / (cost / Environment.ProcessorCount));
            Console.WriteLine($"| {pair + 1} | {alone.Wall:0.00} | {with.Wall:0.00} | {added:0.00} | {with.Heal:0.00} | {cost:0.00} | {ratios[^1]:0.000} |");
        }

        Console.WriteLine($"\nAdded step time / (heal's CPU seconds / {Environment.ProcessorCount} cores): {Median.Of(ratios)} (target 1.2)");

        async Task<(double Wall, double Cpu, double Heal)> AloneAsync()
        {
            var (wall, cpu) = await TimeAsync(() => source.StepAsync(steps));
            return (wall, cpu, 0);
        }

        async Task<(double Wall, double Cpu, double Heal)> WithAsync()
        {
            var heal = 0.0;
            var (wall, cpu) = await TimeAsync(async () =>
            {
                var training = source.StepAsync(steps);
                (heal, _) = await TimeAsync(() => Task.Run(() => HealAsync(peers, joiner)));
                await training;
            });
            return (wall, cpu, heal);
        }
    }

    /// <summary>A joiner's way to a state, until it has proved it by its hash.</summary>
    private static async Task HealAsync(Uri source, LargeState joiner)
    {
        using var ended = new CancellationTokenSource();
        using var copy = new StateCopy(source, new HealRequest { Run = Run }, joiner.Replica, joiner.Compute, new WorkerVitals(TimeProvider.System), Patience, ended.Token);
        await copy.ReceiveAsync(() => { }, ended.Token);
        await ended.CancelAsync();
    }

    /// <summary>The same frames, put into the same place.</summary>
    private static async Task CopyAsync(Uri source, LargeState joiner)
    {
        using var channel = GrpcDialer.Open(source, Patience);
        using var call = channel.CreateCallInvoker().AsyncServerStreamingCall(PeerContract.Heal, null, new CallOptions(), new HealRequest { Run = Run });
        var state = joiner.Replica.State;
        var received = 0L;
        while (await call.ResponseStream.MoveNext(CancellationToken.None))
        {
            var (head, payload) = call.ResponseStream.Current;
            using (payload)
            {
                payload.Values.CopyTo(state[(int)head.Vector].Vector.Span(head.Offset, payload.Count));
                received += payload.Count * sizeof(float);
            }
        }

        if (received != joiner.Bytes)
        {
            throw new InvalidOperationException($"{received} of {joiner.Bytes} bytes came.");
        }
    }

    private static async Task<(double Wall, double Cpu)> TimeAsync(Func<Task> action)
    {
        using var process = Process.GetCurrentProcess();
        var (cpu, started) = (process.TotalProcessorTime, Stopwatch.GetTimestamp());
        await action();
        var wall = Stopwatch.GetElapsedTime(started).TotalSeconds;
        process.Refresh();
        return (wall, (process.TotalProcessorTime - cpu).TotalSeconds);
    }

    /// <summary>Sends a state that does not change.</summary>
    private sealed class PlainSource(LargeState source) : PeerServiceBase
    {
        public override Task Exchange(
            IAsyncStreamReader<ChunkFrame<NodeChunk>> requests, IServerStreamWriter<ChunkFrame<ShardChunk>> responses, ServerCallContext context) => Task.CompletedTask;

        public override Task<MeetReply> Meet(MeetRequest request, ServerCallContext context) => Task.FromResult(new MeetReply());

        public override async Task Heal(HealRequest request, IServerStreamWriter<ChunkFrame<StateChunk>> responses, ServerCallContext context)
        {
            var state = source.Replica.State;
            for (var index = 0; index < state.Count; index++)
            {
                for (var offset = 0L; offset < state[index].Vector.Count; offset += ShardTable.MaxChunkElements)
                {
                    var count = (int)Math.Min(ShardTable.MaxChunkElements, state[index].Vector.Count - offset);
                    await responses.WriteAsync(
                        new ChunkFrame<StateChunk>(new StateChunk { Vector = (uint)index, Offset = offset }, Over(state[index].Vector, offset, count)), context.CancellationToken);
                }
            }
        }

        private static unsafe ChunkPayload Over(NativeVector vector, long offset, int count) => ChunkPayload.Over(vector.Data + offset, count);
    }

    private sealed class Server(WebApplication application, Uri address) : IAsyncDisposable
    {
        public Uri Address => address;

        public static async Task<Server> StartAsync<T>(T service)
            where T : PeerServiceBase
        {
            var application = GrpcListener.Create("127.0.0.1:0", services => services.AddSingleton(service), LogLevel.Warning);
            application.MapGrpcService<T>();
            var bound = await GrpcListener.StartAsync(application, "127.0.0.1:0", CancellationToken.None);
            return new Server(application, new Uri($"http://{bound}"));
        }

        public async ValueTask DisposeAsync()
        {
            using var deadline = new CancellationTokenSource(Patience);
            await application.StopAsync(deadline.Token);
            await application.DisposeAsync();
        }
    }
}
