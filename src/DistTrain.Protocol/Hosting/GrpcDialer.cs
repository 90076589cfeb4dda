using DistTrain.Protocol.Exchange;
using Grpc.Net.Client;

namespace DistTrain.Protocol.Hosting;

/// <summary>Connections to a gRPC server, as every client in the project opens them.</summary>
public static class GrpcDialer
{
    private const int StreamWindow = 4 << 20;

    /// <summary>Opens a channel. Nothing is sent before the first call.</summary>
    public static GrpcChannel Open(Uri address, TimeSpan connectTimeout) => GrpcChannel.ForAddress(address, new GrpcChannelOptions
    {
        MaxReceiveMessageSize = ChunkMarshaller.MaxMessageBytes,
        MaxSendMessageSize = null,
        DisposeHttpClient = true,
        HttpHandler = new SocketsHttpHandler
        {
            ConnectTimeout = connectTimeout,
            InitialHttp2StreamWindowSize = StreamWindow,
            UseProxy = false,
        },
    });
}
