using DistTrain.Protocol.Hosting;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>What connections to a gRPC server are held to.</summary>
public sealed class GrpcDialerTests
{
    [Fact]
    public void Once_a_channel_is_opened_no_stream_of_the_process_is_given_a_larger_window_than_a_mebibyte()
    {
        using var channel = GrpcDialer.Open(new Uri("http://127.0.0.1:1"), TimeSpan.FromSeconds(1));
        using var handler = new SocketsHttpHandler { InitialHttp2StreamWindowSize = 1 << 20 };

        // The client itself says how large it lets windows become.
        var refused = Assert.Throws<ArgumentOutOfRangeException>(() => handler.InitialHttp2StreamWindowSize = (1 << 20) + 1);
        Assert.Contains($"{1 << 20}", refused.Message);
    }
}
