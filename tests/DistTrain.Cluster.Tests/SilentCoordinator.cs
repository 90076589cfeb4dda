using DistTrain.Protocol.V1;
using DistTrain.Worker;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Cluster.Tests;

/// <summary>A coordinator that has let a worker in, then hears everything and says nothing, until the worker ends the session.</summary>
internal static class SilentCoordinator
{
    /// <summary>Begins the worker's session with it.</summary>
    /// <param name="address">Where the other calls than the worker's go; nobody need be there where none is made.</param>
    public static CoordinatorSession Admit(Uri address)
    {
        var welcome = new Welcome { HeartbeatMilliseconds = 60_000, SilenceMilliseconds = 60_000 };
        var over = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var call = new AsyncDuplexStreamingCall<WorkerMessage, CoordinatorMessage>(
            new Ear(over), new Mouth(over.Task), Task.FromResult(new Metadata()), () => Status.DefaultSuccess, () => [], () => { });
        return CoordinatorSession.Begin(address, GrpcChannel.ForAddress(address), call, new CoordinatorMessage { Run = 7, Term = 1, Welcome = welcome }, TimeProvider.System);
    }

    private sealed class Ear(TaskCompletionSource over) : IClientStreamWriter<WorkerMessage>
    {
        public WriteOptions? WriteOptions { get; set; }

        public Task WriteAsync(WorkerMessage message) => Task.CompletedTask;

        public Task WriteAsync(WorkerMessage message, CancellationToken cancellationToken) => Task.CompletedTask;

        public Task CompleteAsync()
        {
            over.TrySetResult();
            return Task.CompletedTask;
        }
    }

    private sealed class Mouth(Task over) : IAsyncStreamReader<CoordinatorMessage>
    {
        public CoordinatorMessage Current => throw new InvalidOperationException("It has said nothing.");

        public async Task<bool> MoveNext(CancellationToken cancellationToken)
        {
            await over.WaitAsync(cancellationToken);
            return false;
        }
    }
}
