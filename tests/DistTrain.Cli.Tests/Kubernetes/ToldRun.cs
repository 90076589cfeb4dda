using System.Net;
using System.Net.Sockets;
using System.Threading.Channels;
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

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>A coordinator's Watch stream that tells what the test writes, and breaks off when the test says so.</summary>
internal sealed class ToldRun : V1.Coordinator.CoordinatorBase, IAsyncDisposable
{
    private readonly Channel<V1.RunEvent> _events = Channel.CreateUnbounded<V1.RunEvent>();
    private readonly TaskCompletionSource _isTold = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private WebApplication? _host;
    private int _port;

    public static async Task<ToldRun> StartAsync()
    {
        var run = new ToldRun();
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, l => l.Protocols = HttpProtocols.Http2));
        builder.Services.AddGrpc();
        builder.Services.AddSingleton(run);
        run._host = builder.Build();
        run._host.MapGrpcService<ToldRun>();
        await run._host.StartAsync(TestContext.Current.CancellationToken);
        run._port = new Uri(run._host.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single()).Port;
        return run;
    }

    public void Tell(params V1.RunEvent[] events) => Array.ForEach(events, e => _events.Writer.TryWrite(e));

    /// <summary>Completed when somebody has watched until it broke off.</summary>
    public Task IsTold => _isTold.Task;

    public void BreakOff() => _events.Writer.TryComplete();

    public async Task<Stream> DialAsync(CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        await socket.ConnectAsync(IPAddress.Loopback, _port, cancellation);
        return new NetworkStream(socket, ownsSocket: true);
    }

    public override async Task Watch(WatchRequest request, IServerStreamWriter<V1.RunEvent> responseStream, ServerCallContext context)
    {
        await foreach (var happened in _events.Reader.ReadAllAsync(context.CancellationToken))
        {
            await responseStream.WriteAsync(happened, context.CancellationToken);
        }

        _isTold.TrySetResult();
    }

    public async ValueTask DisposeAsync()
    {
        BreakOff();
        using var now = new CancellationTokenSource(TimeSpan.FromSeconds(1));
        await _host!.StopAsync(now.Token);
        await _host.DisposeAsync();
    }
}
