using System.Net;
using System.Net.Sockets;
using DistTrain.Core.Options;
using DistTrain.TestKit;
using DistTrain.Worker;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Promise P2 on every transport: real runs in one process have the same bits, also where workers are lost, and nothing is left behind.</summary>
public sealed class TransportTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public static TheoryData<string> Transports => ["shared-memory", "tcp", "grpc"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Every_transport_gives_the_same_bits_on_any_number_of_workers()
    {
        var alone = await RunAsync("grpc", 1);
        foreach (var transport in new[] { "shared-memory", "tcp", "grpc" })
        {
            foreach (var workers in new[] { 2, 3, 5 })
            {
                var run = await RunAsync(transport, workers);
                Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
                Assert.Equal(alone.Hashes, run.Hashes);
                Assert.Equal(alone.Summary.GetProperty("weightsSha256").GetString(), run.Summary.GetProperty("weightsSha256").GetString());
                var links = workers * (workers - 1);
                Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "linked"
                    && e.GetProperty("sentence").GetString() == $"Generation 1: gradients travel by {transport} ({links} of {links} links).");
                Assert.All(run.Lines("workers.jsonl"), w => Assert.Equal(transport, w.GetProperty("transports").GetString()));
            }
        }
    }

    [Fact]
    public async Task Auto_takes_shared_memory_within_a_host()
    {
        var run = await RunAsync("auto", 2);
        Assert.Contains(run.Log.Entries, e => e.Text == "Linked: generation 1, rank 1 by shared-memory");
    }

    [Theory]
    [MemberData(nameof(Transports))]
    public async Task A_worker_that_is_lost_costs_nothing_but_its_blocks(string transport)
    {
        var options = LongRun(transport, "workers=3");
        var alone = await LocalCluster.RunAsync(_folder.At("alone"), Shorter(options) with { Workers = 1 });
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), Shorter(options));
        using var leave = new CancellationTokenSource();
        var workers = Enumerable.Range(0, 3).Select(n => coordinator.StartWorker(coordinator.Worker(n), n == 1 ? leave.Token : default)).ToList();
        await coordinator.StepAsync(3);
        await leave.CancelAsync();
        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.Equal(alone.Hashes, run.Hashes);
        Assert.Contains(run.Lines("events.jsonl"), e => e.GetProperty("sentence").GetString() == $"Generation 2: gradients travel by {transport} (2 of 2 links).");
    }

    [Fact]
    public async Task A_stranger_on_the_port_is_closed_without_a_word_and_harms_nobody()
    {
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), Shorter(LongRun("tcp", "workers=2")));
        var port = FreePort();
        var workers = new[] { coordinator.Worker(0) with { Listen = $"127.0.0.1:{port}" }, coordinator.Worker(1) }.Select(w => coordinator.StartWorker(w)).ToList();
        await coordinator.StepAsync(1);
        foreach (var first in new byte[] { Introduction.Mark, 0x00 })
        {
            using var stranger = new Socket(SocketType.Stream, ProtocolType.Tcp);
            await stranger.ConnectAsync(IPAddress.Loopback, port, TestContext.Current.CancellationToken);
            var bytes = new byte[64];
            (bytes[0], bytes[1]) = (first, 1);
            await stranger.SendAsync(bytes, TestContext.Current.CancellationToken);
            stranger.Shutdown(SocketShutdown.Send);
            Assert.DoesNotContain((byte)Introduction.Mark, await AllAsync(stranger));
        }

        var run = await coordinator.EndAsync(workers).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.DoesNotContain(run.Lines("events.jsonl"), e => e.GetProperty("event").GetString() == "lost");
    }

    private static async Task<byte[]> AllAsync(Socket socket)
    {
        var all = new List<byte>();
        var buffer = new byte[1024];
        using var deadline = new CancellationTokenSource(Soon);
        try
        {
            while (await socket.ReceiveAsync(buffer, deadline.Token) is > 0 and var count)
            {
                all.AddRange(buffer.AsSpan(0, count));
            }
        }
        catch (SocketException)
        {
            // Reset is as good as closed.
        }

        return [.. all];
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static RunOptions LongRun(string transport, params string[] settings) =>
        LocalCluster.Options([.. settings, $"transport={transport}", "debug.delayPerMicroBatch.0=2ms"]);

    private static RunOptions Shorter(RunOptions options) => options with { Stop = new StopOptions { Steps = 30 } };

    private Task<ClusterRun> RunAsync(string transport, int workers) => LocalCluster.RunAsync(
        _folder.At($"{transport}{workers}"), LocalCluster.Options($"transport={transport}", $"workers={workers}", "stop.epochs=0", "stop.steps=8", "batch.micro=3"));
}
