using System.Net;
using System.Net.Sockets;
using DistTrain.Cli.Tests.Kubernetes.InCluster;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>The commands of a pod's containers as real processes: what probes are told, what exit codes say, what becomes of the workers.</summary>
public sealed class PodTests : IAsyncLifetime
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    private readonly TempFolder _folder = new();
    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly int _port = FreePort();
    private TestCluster _cluster = null!;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    public async ValueTask InitializeAsync() => _cluster = await TestCluster.StartAsync();

    public async ValueTask DisposeAsync()
    {
        _http.Dispose();
        await _cluster.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Probes_are_answered_while_it_waits_trains_heals_and_stays_and_the_workers_are_none_at_the_end()
    {
        var (first, second, health) = (FreePort(), FreePort(), FreePort());
        using var early = Worker(first, "--number", "0");
        await UntilAsync(first, "startup", isGood: true);
        Assert.Equal("200 503 200", await ProbesAsync(first));

        using var coordinator = Coordinator(health, "--set", "stop.epochs=6", "--set", "debug.delayPerMicroBatch.0=3ms");
        await coordinator.LineAsync("\"event\":\"step\"");
        Assert.Equal("200 200 200", await ProbesAsync(health));
        Assert.Equal("200 200 200", await ProbesAsync(first));
        var numbers = await TextAsync(health, "metrics");
        Assert.All(
            ["disttrain_step", "disttrain_loss", "disttrain_learning_rate", "disttrain_world_size", "disttrain_generation", "disttrain_workers_lost_total"],
            name => Assert.Matches($@"(?m)^{name}(\{{\}})? [0-9.e+-]+$", numbers));
        Assert.Matches(@"(?m)^disttrain_steps(\{\})? 72$", numbers);
        Assert.Matches(@"(?m)^disttrain_worker_blocks_total(\{\})? [1-9]", await TextAsync(first, "metrics"));

        // Whatever a joiner is at, it is live; it is ready when it is a member.
        using var joiner = Worker(second);
        await UntilAsync(second, "startup", isGood: true);
        await UntilAsync(second, "ready", isGood: true, whileTrue: async () => Assert.Equal(200, await AskAsync(second, "live")));

        var ended = await coordinator.EndAsync();
        Assert.Equal(0, ended.Code);
        Assert.Contains("Deployment disttrain-worker was set to 0 workers.", ended.Error, StringComparison.Ordinal);
        Assert.Equal(0, _cluster.Replicas);
        foreach (var (worker, port) in new[] { (early, first), (joiner, second) })
        {
            await UntilAsync(port, "ready", isGood: false);
            Assert.Equal(200, await AskAsync(port, "live"));
            worker.Signal("TERM");
            Assert.Equal(0, (await worker.EndAsync()).Code);
        }
    }

    [Fact]
    public async Task A_coordinator_that_is_asked_to_end_says_that_the_run_is_not_over_and_the_next_one_goes_on_with_the_same_worker()
    {
        var health = FreePort();
        using var worker = Worker(health, "--number", "0");
        using (var coordinator = Coordinator(FreePort(), "--set", "stop.epochs=1000", "--set", "debug.delayPerMicroBatch.0=3ms"))
        {
            await coordinator.LineAsync("\"event\":\"step\"");
            coordinator.Signal("TERM");
            var ended = await coordinator.EndAsync();
            Assert.Equal(143, ended.Code);
            Assert.Contains("\"status\":\"stopped\"", ended.Out, StringComparison.Ordinal);
        }

        Assert.Equal(2, _cluster.Replicas);
        Assert.Equal(200, await AskAsync(health, "live"));
        using (var next = Coordinator(FreePort(), "--set", "stop.epochs=2"))
        {
            var ended = await next.EndAsync();
            Assert.Equal(0, ended.Code);
            Assert.Contains("\"status\":\"completed\"", ended.Out, StringComparison.Ordinal);
        }

        Assert.Equal(0, _cluster.Replicas);
        worker.Signal("TERM");
        Assert.Equal(0, (await worker.EndAsync()).Code);
    }

    [Fact]
    public async Task A_configuration_that_is_wrong_fails_the_Job_at_once_and_frees_the_workers()
    {
        using var coordinator = Coordinator(FreePort(), "--set", "batch.global=none");
        var ended = await coordinator.EndAsync();
        Assert.Equal(2, ended.Code);
        Assert.Contains("error: batch.global is 'none'", ended.Error, StringComparison.Ordinal);
        Assert.Equal(0, _cluster.Replicas);
    }

    [Fact]
    public async Task A_folder_that_cannot_be_written_may_be_mended_and_ends_neither_Job_nor_workers()
    {
        Directory.CreateDirectory(Path.Combine(_folder["run"], "config.yaml.tmp"));
        using var coordinator = Coordinator(FreePort());
        var ended = await coordinator.EndAsync();
        Assert.Equal(1, ended.Code);
        Assert.Contains("config.yaml.tmp", ended.Error, StringComparison.Ordinal);
        Assert.Contains("The run is not over: the workers wait for the Job's next coordinator", ended.Error, StringComparison.Ordinal);
        Assert.Equal(2, _cluster.Replicas);
    }

    [Fact]
    public async Task A_port_that_is_taken_may_be_free_at_the_next_start()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        using var coordinator = Coordinator(((IPEndPoint)listener.LocalEndpoint).Port);
        var ended = await coordinator.EndAsync();
        Assert.Equal(1, ended.Code);
        Assert.Contains(" is in use by another program", ended.Error, StringComparison.Ordinal);
        Assert.Contains("The run is not over", ended.Error, StringComparison.Ordinal);
        Assert.Equal(2, _cluster.Replicas);
    }

    [Fact]
    public async Task A_folder_that_another_coordinator_still_owns_is_waited_for()
    {
        using var owner = Coordinator(FreePort());
        await owner.LineAsync("\"listening\"");
        var health = FreePort();
        using var next = Coordinator(health);
        await UntilAsync(health, "live", isGood: true);
        Assert.Contains("It waits for another coordinator to let go of the run", await TextAsync(health, "startup"), StringComparison.Ordinal);
        owner.Signal("TERM");
        Assert.Equal(143, (await owner.EndAsync()).Code);
        await next.LineAsync("\"listening\"");
        next.Signal("TERM");
        Assert.Equal(143, (await next.EndAsync()).Code);
    }

    [Fact]
    public async Task A_worker_that_is_refused_ends_with_its_reason_and_an_Event()
    {
        using var coordinator = Coordinator(FreePort());
        await coordinator.LineAsync("\"listening\"");
        using var worker = Command.Start(
            _cluster.Environment, "worker", "digits", "--set", "batch.micro=5", "--coordinator", $"http://127.0.0.1:{_port}", "--stay");
        var ended = await worker.EndAsync();
        Assert.Equal(1, ended.Code);
        Assert.Contains("refused this worker. It was given another configuration", ended.Error, StringComparison.Ordinal);
        var happened = Assert.Single(_cluster.Events);
        Assert.Equal("HostRefused", (string)happened["reason"]!);
        Assert.Contains("It was given another configuration", (string)happened["message"]!, StringComparison.Ordinal);
        coordinator.Signal("TERM");
        Assert.Equal(143, (await coordinator.EndAsync()).Code);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private Command Coordinator(int health, params string[] sets) => Command.Start(
        _cluster.Environment,
        ["coordinator", "digits", "--listen", $"127.0.0.1:{_port}", "--health", $"127.0.0.1:{health}", "--workers", "1", "--out", _folder["run"], "--resume",
            "--set", "schedule.name=constant", "--scale-down", TestCluster.Deployment, "--json", .. sets]);

    private Command Worker(int health, params string[] more) => Command.Start(
        _cluster.Environment,
        ["worker", "--coordinator", $"http://127.0.0.1:{_port}", "--health", $"127.0.0.1:{health}", "--stay", "--job", TestCluster.Job, "--scale-down",
            TestCluster.Deployment, .. more]);

    private async Task<int> AskAsync(int port, string path)
    {
        using var answer = await _http.GetAsync(new Uri($"http://127.0.0.1:{port}/{path}"), Token);
        return (int)answer.StatusCode;
    }

    /// <summary>What startup, readiness and liveness are answered.</summary>
    private async Task<string> ProbesAsync(int port) =>
        $"{await AskAsync(port, "startup")} {await AskAsync(port, "ready")} {await AskAsync(port, "live")}";

    private async Task<string> TextAsync(int port, string path)
    {
        using var answer = await _http.GetAsync(new Uri($"http://127.0.0.1:{port}/{path}"), Token);
        return await answer.Content.ReadAsStringAsync(Token);
    }

    /// <summary>Asks, as a kubelet does, again and again until the answer is the one that is waited for.</summary>
    private async Task UntilAsync(int port, string path, bool isGood, Func<Task>? whileTrue = null)
    {
        using var every = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(Deadline);
        while (await every.WaitForNextTickAsync(deadline.Token))
        {
            try
            {
                if (await AskAsync(port, path) == (isGood ? 200 : 503))
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // It does not listen yet.
                continue;
            }

            await (whileTrue?.Invoke() ?? Task.CompletedTask);
        }
    }
}
