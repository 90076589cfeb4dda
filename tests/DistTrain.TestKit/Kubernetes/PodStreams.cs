using System.Buffers.Binary;
using System.Globalization;
using System.Net.WebSockets;
using System.Text;
using Microsoft.AspNetCore.Http;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>What streams out of a pod: its log, and a forwarded port.</summary>
internal static class PodStreams
{
    private const string Protocol = "v4.channel.k8s.io";
    private const byte Data = 0;
    private const byte Error = 1;

    /// <summary>Writes the log of a container.</summary>
    public static async Task WriteLogAsync(
        HttpContext context, FakeCluster cluster, ResourcePath path, Func<string, string, string, bool, PodLog?> logOf, CancellationToken over)
    {
        var query = context.Request.Query;
        if (cluster.Find(path) is not { } pod)
        {
            await RefuseAsync(context, StatusReply.NotFound(path));
            return;
        }

        var container = (string?)query["container"] ?? (string?)pod["spec"]?["containers"]?[0]?["name"] ?? "";
        var previous = query["previous"] == "true";
        if (logOf(path.Namespace, path.Name, container, previous) is not { } log)
        {
            await RefuseAsync(context, StatusReply.BadRequest(previous
                ? $"previous terminated container \"{container}\" in pod \"{path.Name}\" not found"
                : $"container \"{container}\" in pod \"{path.Name}\" is waiting to start: ContainerCreating"));
            return;
        }

        context.Response.ContentType = "text/plain";
        int? tail = int.TryParse(query["tailLines"], NumberStyles.None, CultureInfo.InvariantCulture, out var lines) ? lines : null;
        await foreach (var line in log.ReadAsync(tail, query["follow"] == "true", over))
        {
            await context.Response.WriteAsync(line + "\n", over);
            await context.Response.Body.FlushAsync(over);
        }
    }

    /// <summary>Carries one connection to a port of a pod: data on channel 0, errors on channel 1, each beginning with the port.</summary>
    public static async Task ForwardAsync(
        HttpContext context, FakeCluster cluster, ResourcePath path, Func<string, string, int, CancellationToken, Task<Stream>> dial, CancellationToken over)
    {
        if (cluster.Find(path with { Subresource = "" }) is null)
        {
            await RefuseAsync(context, StatusReply.NotFound(path));
            return;
        }

        if (!context.WebSockets.IsWebSocketRequest || !int.TryParse(context.Request.Query["ports"], NumberStyles.None, CultureInfo.InvariantCulture, out var port))
        {
            await RefuseAsync(context, StatusReply.BadRequest("Upgrade request required"));
            return;
        }

        using var socket = await context.WebSockets.AcceptWebSocketAsync(context.WebSockets.WebSocketRequestedProtocols.Contains(Protocol) ? Protocol : null);
        var named = new byte[2];
        BinaryPrimitives.WriteUInt16LittleEndian(named, (ushort)port);
        await SendAsync(socket, Data, named, over);
        await SendAsync(socket, Error, named, over);
        try
        {
            await using var stream = await dial(path.Namespace, path.Name, port, over);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(over);
            await Task.WhenAny(InAsync(socket, stream, either.Token), OutAsync(socket, stream, either.Token));
            await either.CancelAsync();
        }
        catch (IOException refused)
        {
            await SendAsync(socket, Error, Encoding.UTF8.GetBytes(refused.Message), over);
        }

        if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
        {
            await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, over);
        }
    }

    private static async Task InAsync(WebSocket socket, Stream stream, CancellationToken over)
    {
        var buffer = new byte[1 << 16];
        var isFirst = true;
        var channel = Data;
        while (await socket.ReceiveAsync(buffer.AsMemory(), over) is { MessageType: not WebSocketMessageType.Close } received)
        {
            channel = isFirst && received.Count > 0 ? buffer[0] : channel;
            if (channel == Data)
            {
                await stream.WriteAsync(buffer.AsMemory(isFirst ? 1 : 0, Math.Max(received.Count - (isFirst ? 1 : 0), 0)), over);
                await stream.FlushAsync(over);
            }

            isFirst = received.EndOfMessage;
        }
    }

    private static async Task OutAsync(WebSocket socket, Stream stream, CancellationToken over)
    {
        var buffer = new byte[1 << 16];
        while (await stream.ReadAsync(buffer, over) is > 0 and var read)
        {
            await SendAsync(socket, Data, buffer.AsMemory(0, read), over);
        }
    }

    private static async Task SendAsync(WebSocket socket, byte channel, ReadOnlyMemory<byte> data, CancellationToken over) =>
        await socket.SendAsync(new byte[] { channel }.Concat(data.ToArray()).ToArray(), WebSocketMessageType.Binary, endOfMessage: true, over);

    private static Task RefuseAsync(HttpContext context, StatusReply refusal)
    {
        context.Response.StatusCode = refusal.Code;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(refusal.ToJson().ToJsonString());
    }
}
