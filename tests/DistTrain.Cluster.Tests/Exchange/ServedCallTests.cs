using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>A call that is served breaks with whichever of its halves breaks first.</summary>
public sealed class ServedCallTests
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(20);

    [Fact]
    public async Task A_call_on_which_nothing_can_be_sent_is_broken_though_nothing_comes_either()
    {
        var addresses = new[] { new Uri("http://127.0.0.1:1"), new Uri("http://127.0.0.1:2") };
        await using var group = new PeerGroup(new RunTag(1, 1, 1), 0, addresses, Soon);
        await using var call = new SilentCall();
        var serving = group.ServeAsync(1, call, TestContext.Current.CancellationToken);
        var (rank, reason) = await group.Broken.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal((1, "the link to http://127.0.0.1:2/ broke: nothing goes out"), (rank, reason));
        Assert.Equal("nothing goes out", (await Assert.ThrowsAsync<IOException>(() => serving.WaitAsync(Soon, TestContext.Current.CancellationToken))).Message);
        Assert.True(call.IsGivenUp);
    }

    /// <summary>A call whose other end says nothing and takes nothing.</summary>
    private sealed class SilentCall : IFrameStream<ShardChunk, NodeChunk>
    {
        public bool IsGivenUp { get; private set; }

        public string Transport => "none";

        public NodeChunk Head => throw new InvalidOperationException("Nothing came.");

        public ChunkPayload Payload => ChunkPayload.Empty;

        public Func<NodeChunk, int, CancellationToken, ValueTask<ChunkPayload?>>? Place { get; set; }

        public async ValueTask<bool> MoveNextAsync(CancellationToken cancellation)
        {
            var never = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
            await using var given = cancellation.Register(() =>
            {
                IsGivenUp = true;
                never.SetCanceled(cancellation);
            });
            return await never.Task;
        }

        public ValueTask SendAsync(ShardChunk head, ChunkPayload payload, CancellationToken cancellation) => throw new IOException("nothing goes out");

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
