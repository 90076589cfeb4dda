using System.Net;
using System.Net.Sockets;
using DistTrain.Protocol.Exchange;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Protocol.Hosting;

/// <summary>A gRPC server on one address, as coordinator and worker both need it.</summary>
public static class GrpcListener
{
    private const int StreamWindow = 4 << 20;
    private const int ConnectionWindow = 8 << 20;
    private const int RequestBuffer = 16 << 20;

    /// <summary>Prepares a server; services are mapped by the caller before it is started.</summary>
    /// <param name="listen">Address and port, such as 127.0.0.1:5400 or [::]:0.</param>
    /// <param name="services">Adds what the services need.</param>
    /// <param name="minimumLog">The least that is logged.</param>
    /// <param name="log">Where the log goes; null for standard error.</param>
    /// <exception cref="AddressException">The text is no address.</exception>
    public static WebApplication Create(
        string listen, Action<IServiceCollection> services, LogLevel minimumLog = LogLevel.Information, ILoggerProvider? log = null)
    {
        var endpoint = Parse(listen);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        if (log is null)
        {
            // Standard output belongs to results; programs read it.
            builder.Logging.AddConsole(o => o.LogToStandardErrorThreshold = LogLevel.Trace);
            builder.Logging.AddSimpleConsole(o => (o.SingleLine, o.TimestampFormat) = (true, "yyyy-MM-ddTHH:mm:ss.fffZ "));
        }
        else
        {
            builder.Logging.AddProvider(log);
        }

        builder.Logging.SetMinimumLevel(minimumLog);
        builder.Logging.AddFilter("Microsoft", LogLevel.Warning);

        // It logs with its stack what StartAsync turns into a sentence.
        builder.Logging.AddFilter("Microsoft.Extensions.Hosting", LogLevel.None);
        builder.Logging.AddFilter("Grpc", LogLevel.None);
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Limits.MinRequestBodyDataRate = null;
            kestrel.Limits.MinResponseDataRate = null;
            kestrel.Limits.MaxRequestBodySize = null;
            kestrel.Limits.MaxRequestBufferSize = RequestBuffer;
            kestrel.Limits.MaxResponseBufferSize = StreamWindow;
            kestrel.Limits.Http2.InitialStreamWindowSize = StreamWindow;
            kestrel.Limits.Http2.InitialConnectionWindowSize = ConnectionWindow;
            kestrel.Listen(endpoint, o => o.Protocols = HttpProtocols.Http2);
        });
        builder.Services.AddGrpc(o => (o.MaxReceiveMessageSize, o.MaxSendMessageSize) = (ChunkMarshaller.MaxMessageBytes, null));
        services(builder.Services);
        return builder.Build();
    }

    /// <summary>Starts a server.</summary>
    /// <param name="server">The server.</param>
    /// <param name="listen">The address it was created for.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <param name="option">The option that another address would be given to.</param>
    /// <returns>The address it listens on, with the port the system chose where none was given.</returns>
    /// <exception cref="AddressException">The address is in use or is not this machine's.</exception>
    public static async Task<IPEndPoint> StartAsync(WebApplication server, string listen, CancellationToken cancellation, string option = "--listen")
    {
        try
        {
            await server.StartAsync(cancellation);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            var socket = e as SocketException ?? e.InnerException as SocketException ?? e.InnerException?.InnerException as SocketException;
            throw new AddressException(socket?.SocketErrorCode switch
            {
                SocketError.AddressNotAvailable => $"{listen} is no address of this machine: give one of its own, or 0.0.0.0, to {option}.",
                SocketError.AccessDenied => $"The system does not allow to listen on {listen}: choose a port above 1023 with {option}.",
                _ => $"{listen} is in use by another program: choose another port.",
            }, e);
        }

        var address = server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single();
        var uri = new Uri(address);
        return new IPEndPoint(Parse(listen).Address, uri.Port);
    }

    /// <summary>Reads an address and port.</summary>
    /// <exception cref="AddressException">The text is no address.</exception>
    public static IPEndPoint Parse(string listen) =>
        IPEndPoint.TryParse(listen.Replace("localhost", "127.0.0.1", StringComparison.OrdinalIgnoreCase), out var endpoint) && listen.Contains(':')
            ? endpoint
            : throw new AddressException($"'{listen}' is no address to listen on: give one such as 127.0.0.1:5400 or 0.0.0.0:5400.");
}

/// <summary>An address cannot be used. The message is a sentence for the user.</summary>
public sealed class AddressException(string message, Exception? inner = null) : Exception(message, inner);
