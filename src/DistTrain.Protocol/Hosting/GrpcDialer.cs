using DistTrain.Protocol.Exchange;
using Grpc.Net.Client;

namespace DistTrain.Protocol.Hosting;

/// <summary>Connections to a gRPC server, as every client in the project opens them.</summary>
public static class GrpcDialer
{
    /// <summary>
    /// The largest window that .NET's client gives a stream: it raises windows where answers are slow, as they are on a busy machine, too. The variable is the only way to say so, and holds for the
    /// process. One that is set counts; where the process has used HTTP before, the client keeps its own limit of 16 MiB and makes more garbage.
    /// </summary>
    private const string LargestWindow = "DOTNET_SYSTEM_NET_HTTP_SOCKETSHTTPHANDLER_FLOWCONTROL_MAXSTREAMWINDOWSIZE";

    /// <summary>Windows are never smaller than HTTP/2 has them at first.</summary>
    private const int SmallestWindow = 65_535;

    /// <summary>
    /// What may have come without being read. The client keeps it in arrays of 16 KiB, from a pool that holds 32 for each processor: 1 MiB is what two processors' worth of them hold.
    /// </summary>
    private const int StreamWindow = 1 << 20;

    /// <summary>Opens a channel. Nothing is sent before the first call.</summary>
    public static GrpcChannel Open(Uri address, TimeSpan connectTimeout)
    {
        // Before the first handler, which reads the variable.
        var window = LimitWindow();
        return GrpcChannel.ForAddress(address, new GrpcChannelOptions
        {
            MaxReceiveMessageSize = ChunkMarshaller.MaxMessageBytes,
            MaxSendMessageSize = null,
            DisposeHttpClient = true,
            HttpHandler = new SocketsHttpHandler
            {
                ConnectTimeout = connectTimeout,
                InitialHttp2StreamWindowSize = window,
                UseProxy = false,
            },
        });
    }

    private static int LimitWindow()
    {
        if (int.TryParse(Environment.GetEnvironmentVariable(LargestWindow), out var largest))
        {
            return Math.Clamp(largest, SmallestWindow, StreamWindow);
        }

        Environment.SetEnvironmentVariable(LargestWindow, $"{StreamWindow}");
        return StreamWindow;
    }
}
