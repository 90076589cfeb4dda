using DistTrain.Core.Faults;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;
using DistTrain.Protocol.V1;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests;

/// <summary>What the stand-in processes of a run do.</summary>
public enum Scenario
{
    /// <summary>The run is finished once every worker is there.</summary>
    Good,

    /// <summary>The run goes on until somebody ends it.</summary>
    Endless,

    /// <summary>The coordinator ends before it listens.</summary>
    CoordinatorSilent,

    /// <summary>The coordinator says something else than where it listens.</summary>
    CoordinatorGarbled,

    /// <summary>The coordinator ends in the middle.</summary>
    CoordinatorDies,

    /// <summary>Worker 1 ends at once, and the coordinator never learns of it.</summary>
    WorkerDies,

    /// <summary>As before, but worker 1 is killed.</summary>
    WorkerKilled,

    /// <summary>The coordinator ends the run for a reason.</summary>
    RunFails,

    /// <summary>Nobody minds the end of standard input.</summary>
    Stubborn,

    /// <summary>The run is finished once one worker more is there than it begins with.</summary>
    OneMore,

    /// <summary>The run is finished by a coordinator that was started again.</summary>
    CoordinatorReturns,

    /// <summary>The coordinator ends the run in order when it is asked to, and no worker has joined that could hear of it.</summary>
    NobodyJoins,
}

/// <summary>The processes of a run that trains nothing.</summary>
internal static class StandIn
{
    public const int Workers = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    public static async Task<int> RunAsync(Scenario scenario, string[] args)
    {
        using var deadline = new CancellationTokenSource(Patience);
        if (args[0] == "train")
        {
            return await Cli.AppOf(scenario, Console.Out, Console.Error, args).RunAsync(deadline.Token);
        }

        if (scenario == Scenario.Stubborn)
        {
            return await RunStubbornAsync(args, deadline.Token);
        }

        using var supervision = new Supervision(Environment.GetEnvironmentVariable(Supervision.Variable) is not null, deadline.Token);
        try
        {
            return args[0] == "coordinator"
                ? await CoordinateAsync(scenario, args, supervision.Stop)
                : await WorkAsync(scenario, args, supervision.Stop);
        }
        catch (OperationCanceledException) when (supervision.Stop.IsCancellationRequested)
        {
            Console.WriteLine("stopped in order");
            return 1;
        }
    }

    private static async Task<int> RunStubbornAsync(string[] args, CancellationToken deadline)
    {
        if (args[0] == "coordinator")
        {
            await using var server = await StandInServer.StartAsync(Scenario.Endless, args, deadline);
            await Task.Delay(Timeout.Infinite, deadline);
        }

        return await WorkAsync(Scenario.Stubborn, args, deadline);
    }

    private static async Task<int> CoordinateAsync(Scenario scenario, string[] args, CancellationToken stop)
    {
        switch (scenario)
        {
            case Scenario.CoordinatorSilent:
                await Console.Error.WriteLineAsync("the port is taken");
                return 3;
            case Scenario.CoordinatorGarbled:
                Console.WriteLine("hello");
                await Task.Delay(Timeout.Infinite, stop);
                return 0;
            default:
                await using (var server = await StandInServer.StartAsync(scenario, args, stop))
                {
                    return await server.Code.WaitAsync(scenario == Scenario.NobodyJoins ? CancellationToken.None : stop);
                }
        }
    }

    /// <summary>What the launcher asks this process to do to itself.</summary>
    public static FaultInjector? Faults() =>
        FaultInjector.OfVariable(Environment.GetEnvironmentVariable(FaultInjector.Variable), TimeProvider.System);

    private static async Task<int> WorkAsync(Scenario scenario, string[] args, CancellationToken stop)
    {
        if (scenario == Scenario.WorkerDies && args[^1] == "1")
        {
            await Console.Error.WriteLineAsync("no such data");
            return 9;
        }

        if (scenario == Scenario.WorkerKilled && args[^1] == "1")
        {
            ProcessSignal.Send(Environment.ProcessId, ProcessSignal.Kill);
        }

        Console.WriteLine($"threads {Environment.GetEnvironmentVariable("OMP_NUM_THREADS")}, {Environment.GetEnvironmentVariable("OMP_WAIT_POLICY")}");
        if (scenario == Scenario.NobodyJoins)
        {
            await Task.Delay(Timeout.Infinite, stop);
        }

        var faults = Faults();
        try
        {
            await foreach (var happened in RunWatch.FollowAsync(new Uri(args[2]), stop))
            {
                if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished)
                {
                    return happened.Finished.Success ? 0 : 1;
                }

                if (happened.Step is { } step)
                {
                    faults?.Reach(new FaultPoint(step.Step, step.WorldSize, Blocks: 0, IsLast: true));
                }
            }
        }
        catch (RpcException) when (!stop.IsCancellationRequested)
        {
            // A real worker pauses and waits for the coordinator.
        }
        catch (RpcException)
        {
            throw new OperationCanceledException(stop);
        }

        await Task.Delay(Timeout.Infinite, stop);
        return 0;
    }
}

/// <summary>A coordinator's view of a run, on a real server. The run begins once launcher and workers watch it, so tests need not wait for time.</summary>
internal sealed class StandInServer : V1.Coordinator.CoordinatorBase, IAsyncDisposable
{
    private readonly TaskCompletionSource<int> _code = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _oneMore = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _everybody = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Scenario _scenario;
    private readonly bool _resumes;
    private readonly CancellationToken _stop;
    private WebApplication? _host;
    private int _watchers;
    private int _served;

    private StandInServer(Scenario scenario, bool resumes, CancellationToken stop)
    {
        _scenario = scenario;
        _resumes = resumes;
        _stop = stop;
    }

    /// <summary>How many watch the run before it begins, and again until it is finished: the launcher and the workers it begins with.</summary>
    private int Watchers => (_scenario, _resumes) switch
    {
        (Scenario.CoordinatorReturns, true) or (Scenario.NobodyJoins, _) => 1,
        (Scenario.WorkerDies or Scenario.WorkerKilled, _) => StandIn.Workers,
        _ => 1 + StandIn.Workers,
    };

    /// <summary>The exit code of the coordinator, once it ends by itself.</summary>
    public Task<int> Code => _code.Task;

    private bool Finishes => _scenario is Scenario.Good or Scenario.RunFails or Scenario.OneMore || (_scenario == Scenario.CoordinatorReturns && _resumes);

    public static async Task<StandInServer> StartAsync(Scenario scenario, string[] args, CancellationToken stop)
    {
        var server = new StandInServer(scenario, args.Contains("--resume"), stop);
        var port = int.Parse(args[Array.IndexOf(args, "--listen") + 1].Split(':')[1]);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(System.Net.IPAddress.Loopback, port, l => l.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(server);
        server._host = builder.Build();
        server._host.MapGrpcService<StandInServer>();
        await server._host.StartAsync(stop);
        var address = server._host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        Console.WriteLine(ListeningLine.Write(address));
        return server;
    }

    public override async Task Watch(WatchRequest request, IServerStreamWriter<V1.RunEvent> responseStream, ServerCallContext context)
    {
        var watchers = Interlocked.Increment(ref _watchers);
        if (watchers == Watchers)
        {
            _everybody.SetResult();
        }

        if (watchers == Watchers + 1)
        {
            _oneMore.SetResult();
        }

        await _everybody.Task.WaitAsync(context.CancellationToken);
        if (_scenario is Scenario.WorkerDies or Scenario.WorkerKilled)
        {
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        }

        if (_scenario == Scenario.NobodyJoins)
        {
            await responseStream.WriteAsync(Events.Happening("waiting"), context.CancellationToken);
            await Task.Delay(Timeout.Infinite, _stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await responseStream.WriteAsync(Events.Finished(true, "stopped"), context.CancellationToken);
            _code.TrySetResult(0);
            return;
        }

        var faults = StandIn.Faults();
        foreach (var happened in Script())
        {
            if (happened.Step is { } step)
            {
                faults?.Reach(new FaultPoint(step.Step, step.WorldSize, Blocks: 0, IsLast: true));
            }

            if (_scenario == Scenario.OneMore && happened.Finished is not null)
            {
                await _oneMore.Task.WaitAsync(context.CancellationToken);
            }

            await responseStream.WriteAsync(happened, context.CancellationToken);
        }

        if (_scenario == Scenario.CoordinatorDies)
        {
            await Console.Error.WriteLineAsync("out of memory");
            _code.TrySetResult(7);
        }

        if (!Finishes)
        {
            await Task.Delay(Timeout.Infinite, context.CancellationToken);
        }

        if (Interlocked.Increment(ref _served) == Watchers)
        {
            _code.TrySetResult(_scenario == Scenario.RunFails ? 1 : 0);
        }
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _host!.StopAsync(now.Token);
        await _host.DisposeAsync();
    }

    private IEnumerable<V1.RunEvent> Script()
    {
        yield return Events.Happening($"coordinator {Environment.ProcessId}");
        yield return Events.Started(steps: 4, samples: 40, workers: StandIn.Workers);
        for (var step = 1; step <= 4; step++)
        {
            yield return Events.Step(step, samples: 10 * step, loss: 1.0 / step);
        }

        yield return Events.Evaluation(4, loss: 0.25, accuracy: 0.875);
        if (Finishes)
        {
            var good = _scenario != Scenario.RunFails;
            yield return Events.Finished(good, good ? "finished" : "Worker 1 was lost at step 3.");
        }
    }
}
