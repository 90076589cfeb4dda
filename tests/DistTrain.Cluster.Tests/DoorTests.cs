using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Cluster.Tests;

/// <summary>Who is let in, spoken in generated code over a socket: every refusal has its reason and says what to do, and the run goes on without the refused.</summary>
public sealed class DoorTests : IAsyncLifetime
{
    private readonly TemporaryFolder _folder = new();
    private readonly RunOptions _options = LocalCluster.Options("workers=2", "stop.steps=3");
    private LocalCoordinator _coordinator = null!;
    private GrpcChannel _channel = null!;
    private Protocol.V1.Coordinator.CoordinatorClient _client = null!;

    public async ValueTask InitializeAsync()
    {
        _coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), _options);
        _channel = GrpcDialer.Open(_coordinator.Address, TimeSpan.FromSeconds(30));
        _client = new Protocol.V1.Coordinator.CoordinatorClient(_channel);
    }

    public async ValueTask DisposeAsync()
    {
        _channel.Dispose();
        await _coordinator.DisposeAsync();
        _folder.Dispose();
    }

    [Fact]
    public async Task Another_protocol_version_or_configuration_is_refused_and_the_run_goes_on()
    {
        await RefusedAsync(Hello() with { Protocol = 1 }, Refusal.Types.Reason.Protocol,
            "It speaks protocol 1, this coordinator protocol 3: install the same version of the program on both.");
        await RefusedAsync(Hello() with { Version = "9.9.9" }, Refusal.Types.Reason.Version, "It is version 9.9.9, this coordinator is");
        await RefusedAsync(Hello() with { ConfigurationFingerprint = "other" }, Refusal.Types.Reason.Configuration,
            "It was given another configuration than this run's: start it without one, or with the run's config.yaml.");
        await CompletesAsync([_coordinator.Worker(0) with { Options = _options }, _coordinator.Worker(1)]);
    }

    [Fact]
    public async Task A_welcome_says_what_run_it_is_and_how_often_to_speak()
    {
        using var call = _client.Attend();
        var welcome = (await SayAsync(call, Hello())).Welcome;
        Assert.Equal(("test", ProgramIdentity.Fingerprint(_options)), (welcome.RunName, welcome.ConfigurationFingerprint));
        Assert.Equal((4000, 20_000), (welcome.HeartbeatMilliseconds, welcome.SilenceMilliseconds));
        Assert.Equal("50", welcome.Configuration["batch.global"]);
    }

    [Theory]
    [InlineData("data", Refusal.Types.Reason.Data, "Its data differ from the run's (203 + 57 samples, fingerprint other, against 203 + 57, ")]
    [InlineData("layout", Refusal.Types.Reason.Layout, "Its model has other parameters than the run's")]
    [InlineData("probe", Refusal.Types.Reason.Arithmetic, "Its processor or libraries compute other bits (probe gradient other, the run's is ")]
    [InlineData("weights", Refusal.Types.Reason.State, "The state it received is not the run's")]
    public async Task Who_proves_something_else_is_refused_and_another_may_take_its_place(string what, Refusal.Types.Reason reason, string sentence)
    {
        // The real worker builds; the test then gets the checkpoint that a second worker would get, and lies about one thing.
        var builder = _coordinator.StartWorker(_coordinator.Worker(0));
        await WatchAsync(e => e.Happening?.Name == "join");
        using var call = _client.Attend();
        var welcome = await SayAsync(call, Hello());
        Assert.False((await NextAsync(call)).Prepare.Build);

        var truth = await ProofAsync();
        var lie = truth.Clone();
        switch (what)
        {
            case "data": lie.DataFingerprint = "other"; break;
            case "layout": lie.LayoutFingerprint = "other"; break;
            case "probe": lie.ProbeHash = "other"; break;
            default: lie.WeightsHash = "other"; break;
        }

        await call.RequestStream.WriteAsync(new WorkerMessage { Run = welcome.Run, Term = welcome.Term, Told = 1, Prepared = lie });
        var refusal = await NextAsync(call);
        Assert.Equal(reason, refusal.Refusal.Reason);
        Assert.StartsWith(sentence, refusal.Refusal.Sentence);
        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext());

        var second = _coordinator.StartWorker(_coordinator.Worker(1));
        Assert.True((await _coordinator.EndAsync([builder, second])).Coordinator.Success);
    }

    [Fact]
    public async Task A_worker_with_other_data_is_told_so()
    {
        var builder = _coordinator.StartWorker(_coordinator.Worker(0));
        await WatchAsync(e => e.Happening?.Name == "join");
        var refused = await _coordinator.StartWorker(_coordinator.Worker(1) with { DataPath = "elsewhere" });
        Assert.False(refused.Success);
        Assert.StartsWith("The coordinator refused this worker. Its data differ from the run's", refused.Sentence);
        var second = _coordinator.StartWorker(_coordinator.Worker(1));
        Assert.True((await _coordinator.EndAsync([builder, second])).Coordinator.Success);
    }

    [Theory]
    [InlineData("prepared too soon", "it said that it is prepared before it can be")]
    [InlineData("another run", "it speaks of run")]
    [InlineData("a second hello", "it sent Hello, which has no place in a run")]
    [InlineData("a report of nothing", "reported operation 1 of generation 0, which it was not given")]
    public async Task Who_speaks_out_of_turn_is_sent_away_with_a_sentence_and_the_run_goes_on(string what, string sentence)
    {
        using var call = _client.Attend();
        var welcome = await SayAsync(call, Hello());
        await call.RequestStream.WriteAsync(what switch
        {
            "prepared too soon" => new WorkerMessage { Run = welcome.Run, Term = 1, Told = 1, Prepared = new Prepared { TrainingSamples = 1 } },
            "another run" => new WorkerMessage { Run = welcome.Run + 1, Term = 1, Heartbeat = new Heartbeat() },
            "a second hello" => new WorkerMessage { Run = welcome.Run, Term = 1, Hello = Wire.ToWire(Hello()) },
            _ => new WorkerMessage { Run = welcome.Run, Term = 1, Report = new Report { Operation = 1 } },
        });
        var dismissal = await DismissalAsync(call);
        Assert.Equal((false, false), (dismissal.Success, dismissal.MayReturn));
        Assert.Contains(sentence, dismissal.Sentence);
        await call.RequestStream.CompleteAsync();
        await CompletesAsync([_coordinator.Worker(0), _coordinator.Worker(1)]);
    }

    [Fact]
    public async Task A_link_before_there_is_a_generation_means_nothing()
    {
        using var call = _client.Attend();
        var welcome = await SayAsync(call, Hello());
        await call.RequestStream.WriteAsync(new WorkerMessage { Run = welcome.Run, Term = 1, Linked = new Linked() });
        await call.RequestStream.WriteAsync(new WorkerMessage { Run = welcome.Run, Term = 1, Leave = new Leave { Sentence = "it has seen enough" } });
        Assert.True((await DismissalAsync(call)).Success);
        await call.RequestStream.CompleteAsync();
        await CompletesAsync([_coordinator.Worker(0), _coordinator.Worker(1)]);
    }

    [Theory]
    [InlineData("no hello", "A worker's first message is its hello.")]
    [InlineData("no address", "'nowhere' is no address at which peers reach a worker: it is http://host:port.")]
    public async Task A_call_that_makes_no_sense_is_refused_and_the_run_goes_on(string what, string sentence)
    {
        using (var call = _client.Attend())
        {
            await call.RequestStream.WriteAsync(what == "no hello"
                ? new WorkerMessage { Heartbeat = new Heartbeat() }
                : new WorkerMessage { Hello = Wire.ToWire(Hello() with { Address = "nowhere" }) });
            var refused = await Assert.ThrowsAsync<RpcException>(() => call.ResponseStream.MoveNext());
            Assert.Equal((StatusCode.InvalidArgument, sentence), (refused.StatusCode, refused.Status.Detail));
        }

        await CompletesAsync([_coordinator.Worker(0), _coordinator.Worker(1)]);
    }

    [Fact]
    public async Task States_move_for_admitted_workers_of_this_run_only()
    {
        using var call = _client.Attend();
        var welcome = await SayAsync(call, Hello());
        await GetRefusedAsync(new GetCheckpointRequest { Run = welcome.Run + 1, Term = 1 }, StatusCode.FailedPrecondition, "not run");
        await GetRefusedAsync(new GetCheckpointRequest { Run = welcome.Run, Term = 2 }, StatusCode.FailedPrecondition, "not run");
        await GetRefusedAsync(new GetCheckpointRequest { Run = welcome.Run, Term = 1, Worker = 77 }, StatusCode.FailedPrecondition, "Worker 77 has not joined");
        await GetRefusedAsync(new GetCheckpointRequest { Run = welcome.Run, Term = 1, Worker = welcome.Welcome.Worker, Step = 5 }, StatusCode.NotFound,
            "There is no checkpoint of step 5.");

        async Task GetRefusedAsync(GetCheckpointRequest request, StatusCode status, string why)
        {
            using var get = _client.GetCheckpoint(request);
            var refused = await Assert.ThrowsAsync<RpcException>(() => get.ResponseStream.MoveNext());
            Assert.Equal(status, refused.StatusCode);
            Assert.Contains(why, refused.Status.Detail);
        }
    }

    private static WorkerHello Hello() =>
        new(RunMachine.Protocol, ProgramIdentity.Version, -1, "host", 1, "http://127.0.0.1:1", "test", "");

    private static async Task<CoordinatorMessage> SayAsync(AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> call, WorkerHello hello)
    {
        await call.RequestStream.WriteAsync(new WorkerMessage { Hello = Wire.ToWire(hello) });
        Assert.True(await call.ResponseStream.MoveNext());
        return call.ResponseStream.Current;
    }

    private static async Task<Dismissal> DismissalAsync(AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> call)
    {
        while ((await NextAsync(call)).Dismissal is null)
        {
            // What it was told before does not matter.
        }

        return call.ResponseStream.Current.Dismissal;
    }

    private static async Task<CoordinatorMessage> NextAsync(AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage> call)
    {
        do
        {
            Assert.True(await call.ResponseStream.MoveNext());
        }
        while (call.ResponseStream.Current.BodyCase == CoordinatorMessage.BodyOneofCase.Heartbeat);
        return call.ResponseStream.Current;
    }

    private async Task RefusedAsync(WorkerHello hello, Refusal.Types.Reason reason, string sentence)
    {
        using var call = _client.Attend();
        var answer = await SayAsync(call, hello);
        Assert.Equal(reason, answer.Refusal.Reason);
        Assert.StartsWith(sentence, answer.Refusal.Sentence);

        // Whoever has read its refusal hangs up, and is answered in kind.
        await call.RequestStream.CompleteAsync();
        Assert.False(await call.ResponseStream.MoveNext());
    }

    private async Task CompletesAsync(IEnumerable<Worker.WorkerSettings> workers)
    {
        var run = await _coordinator.EndAsync([.. workers.Select(w => _coordinator.StartWorker(w))]);
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.All(run.Workers, w => Assert.True(w.Success, w.Sentence));
    }

    private async Task WatchAsync(Func<Protocol.V1.RunEvent, bool> until)
    {
        using var watch = _client.Watch(new WatchRequest());
        while (await watch.ResponseStream.MoveNext())
        {
            if (until(watch.ResponseStream.Current))
            {
                return;
            }
        }
    }

    /// <summary>What an honest worker would prove, from a run of its own.</summary>
    private async Task<Prepared> ProofAsync()
    {
        using var task = PatternTask.Catalog.Create(_options);
        using var replica = new Training.Replicas.Replica(task, _options, Training.Devices.ComputeDevice.Cpu);
        return await Task.FromResult(Wire.ToWire(new WorkerPreparation(
            task.Training.Count, task.Validation.Count, $"{task.Training.Fingerprint}+{task.Validation.Fingerprint}", replica.Layout.Fingerprint,
            replica.Probe()!, replica.WeightsHash, task.Metrics, 0, [])));
    }
}
