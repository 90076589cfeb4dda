using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using Grpc.Core;
using Grpc.Net.Client;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace DistTrain.Cluster.Tests;

/// <summary>Stands between a worker and its coordinator, and passes on all that they say to each other but for one change of the members.</summary>
internal sealed class ForgetfulDoor : IAsyncDisposable
{
    private const string Listen = "127.0.0.1:0";
    private readonly WebApplication _server;
    private readonly Service _service;

    private ForgetfulDoor(WebApplication server, Service service, Uri address) => (_server, _service, Address) = (server, service, address);

    /// <summary>Where the worker finds it.</summary>
    public Uri Address { get; }

    /// <summary>Completes when the change was left out.</summary>
    public Task Forgot => _service.Forgot.Task;

    /// <summary>Opens one.</summary>
    public static async Task<ForgetfulDoor> OpenAsync(Uri coordinator, CancellationToken cancellation)
    {
        var service = new Service(GrpcDialer.Open(coordinator, TimeSpan.FromSeconds(30)));
        var server = GrpcListener.Create(Listen, all => all.AddSingleton(service), log: new LogBook());
        server.MapGrpcService<Service>();
        return new ForgetfulDoor(server, service, new Uri($"http://{await GrpcListener.StartAsync(server, Listen, cancellation)}"));
    }

    public async ValueTask DisposeAsync()
    {
        await _server.DisposeAsync();
        _service.Dispose();
    }

    private sealed class Service(GrpcChannel channel) : Protocol.V1.Coordinator.CoordinatorBase, IDisposable
    {
        private readonly Protocol.V1.Coordinator.CoordinatorClient _client = new(channel);

        public TaskCompletionSource Forgot { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        public void Dispose() => channel.Dispose();

        public override async Task Attend(IAsyncStreamReader<WorkerMessage> requests, IServerStreamWriter<CoordinatorMessage> responses, ServerCallContext context)
        {
            using var call = _client.Attend(cancellationToken: context.CancellationToken);
            var asking = PassAsync(requests, call.RequestStream, context.CancellationToken);
            while (await call.ResponseStream.MoveNext(context.CancellationToken))
            {
                if (call.ResponseStream.Current.Membership is not { From: > 0 } || !Forgot.TrySetResult())
                {
                    await responses.WriteAsync(call.ResponseStream.Current, context.CancellationToken);
                }
            }

            await asking;
        }

        public override async Task<PutCheckpointReply> PutCheckpoint(IAsyncStreamReader<CheckpointChunk> requests, ServerCallContext context)
        {
            using var call = _client.PutCheckpoint(cancellationToken: context.CancellationToken);
            await PassAsync(requests, call.RequestStream, context.CancellationToken);
            return await call.ResponseAsync;
        }

        public override async Task GetCheckpoint(GetCheckpointRequest request, IServerStreamWriter<CheckpointChunk> responses, ServerCallContext context)
        {
            using var call = _client.GetCheckpoint(request, cancellationToken: context.CancellationToken);
            while (await call.ResponseStream.MoveNext(context.CancellationToken))
            {
                await responses.WriteAsync(call.ResponseStream.Current, context.CancellationToken);
            }
        }

        private static async Task PassAsync<T>(IAsyncStreamReader<T> from, IClientStreamWriter<T> to, CancellationToken cancellation)
        {
            while (await from.MoveNext(cancellation))
            {
                await to.WriteAsync(from.Current, cancellation);
            }

            await to.CompleteAsync();
        }
    }
}
