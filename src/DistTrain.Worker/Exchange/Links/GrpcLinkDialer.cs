using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>Opens calls to one peer by gRPC.</summary>
/// <param name="address">Where it is reached.</param>
/// <param name="connectTimeout">How long the connection may take.</param>
internal sealed class GrpcLinkDialer(Uri address, TimeSpan connectTimeout) : IDisposable
{
    private readonly GrpcChannel _channel = GrpcDialer.Open(address, connectTimeout);

    /// <summary>Opens a call. Nothing is sent before its first frame.</summary>
    /// <param name="cancellation">Ends the call, whenever.</param>
    public IFrameStream<NodeChunk, ShardChunk> Open(CancellationToken cancellation)
    {
        var call = _channel.CreateCallInvoker().AsyncDuplexStreamingCall(PeerContract.Exchange, null, new CallOptions(cancellationToken: cancellation));
        return new GrpcFrames<NodeChunk, ShardChunk>(call.RequestStream, call.ResponseStream, call.Dispose);
    }

    /// <inheritdoc/>
    public void Dispose() => _channel.Dispose();
}
