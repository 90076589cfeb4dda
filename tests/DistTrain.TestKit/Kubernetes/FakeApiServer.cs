using System.Collections.Concurrent;
using System.Net;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>
/// A Kubernetes API server on loopback, in front of a <see cref="FakeCluster"/>: server-side apply and merge patches, get, list and watch with selectors, create,
/// delete with propagation, the subresources scale, status, log and portforward. It refuses fields that the models do not know, and whatever a test tells it to.
/// </summary>
public sealed class FakeApiServer : IAsyncDisposable
{
    private const string Bearer = "Bearer ";

    private readonly WebApplication _server;
    private readonly ApiVerbs _verbs;
    private readonly CancellationTokenSource _end = new();

    private FakeApiServer(WebApplication server, FakeCluster cluster)
    {
        _server = server;
        Cluster = cluster;
        _verbs = new ApiVerbs(cluster);
    }

    /// <summary>The objects behind it.</summary>
    public FakeCluster Cluster { get; }

    /// <summary>Where it listens.</summary>
    public Uri Address { get; private set; } = null!;

    /// <summary>Every request so far.</summary>
    public ConcurrentQueue<ClusterRequest> Requests { get; } = new();

    /// <summary>Looks at every request first: a refusal, or null to go on. A role that is missing, a quota, a server that fails.</summary>
    public Func<ClusterRequest, StatusReply?> Refuse { get; set; } = _ => null;

    /// <summary>What the container of a pod has written: namespace, pod, container, whether of the one before. Null for a container that has not begun.</summary>
    public Func<string, string, string, bool, PodLog?> LogOf { get; set; } = (_, _, _, _) => null;

    /// <summary>A connection to a port of a pod; it throws <see cref="IOException"/> where nobody listens.</summary>
    public Func<string, string, int, CancellationToken, Task<Stream>> Dial { get; set; } =
        (_, pod, port, _) => throw new IOException($"error forwarding port {port} to pod {pod}: connection refused");

    /// <summary>Starts a server.</summary>
    /// <param name="cluster">The objects; null for an empty cluster.</param>
    /// <param name="listen">The address to listen on; loopback where left away.</param>
    /// <param name="port">The port; 0 lets the system choose.</param>
    /// <param name="certificate">What it speaks TLS with; null for plain HTTP.</param>
    public static async Task<FakeApiServer> StartAsync(FakeCluster? cluster = null, IPAddress? listen = null, int port = 0, X509Certificate2? certificate = null)
    {
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(listen ?? IPAddress.Loopback, port, endpoint =>
        {
            if (certificate is not null)
            {
                endpoint.UseHttps(certificate);
            }
        }));
        var server = builder.Build();
        var fake = new FakeApiServer(server, cluster ?? new FakeCluster());
        server.UseWebSockets();
        server.Run(fake.AnswerAsync);
        await server.StartAsync();
        fake.Address = new Uri(server.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.Single());
        return fake;
    }

    /// <summary>A client that asks this server.</summary>
    public IKubernetes Client() => new k8s.Kubernetes(new KubernetesClientConfiguration { Host = Address.ToString() });

    /// <summary>The text of a kubeconfig that leads here.</summary>
    public string Kubeconfig(string context = "test", string? space = null) => $$"""
        apiVersion: v1
        kind: Config
        current-context: {{context}}
        clusters:
        - name: fake
          cluster: { server: "{{Address}}" }
        contexts:
        - name: {{context}}
          context: { cluster: fake, user: tester{{(space is null ? "" : $", namespace: {space}")}} }
        users:
        - name: tester
          user: { token: secret }

        """;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _server.DisposeAsync();
        _end.Dispose();
    }

    private async Task AnswerAsync(HttpContext context)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(context.RequestAborted, _end.Token);
        try
        {
            if (context.Request.Path == "/version")
            {
                await WriteAsync(context, 200, new JsonObject { ["major"] = "1", ["minor"] = "33", ["gitVersion"] = "v1.33.0-fake" });
                return;
            }

            if (ResourcePath.Parse(context.Request.Path) is not { } path || ResourceKinds.KindOf(path) is null)
            {
                await WriteAsync(context, new StatusReply(404, "NotFound", "the server could not find the requested resource"));
                return;
            }

            var request = await ReadAsync(context.Request, path, over.Token);
            Requests.Enqueue(request);
            if (Refuse(request) is { } refusal)
            {
                await WriteAsync(context, refusal);
                return;
            }

            await AnswerAsync(context, request, over.Token);
        }
        catch (Exception wrong) when (wrong is JsonException or FormatException or InvalidOperationException && !context.Response.HasStarted)
        {
            await WriteAsync(context, StatusReply.BadRequest(wrong.Message));
        }
        catch (Exception gone) when (gone is OperationCanceledException or IOException)
        {
            // Whoever asked does not want to know any more.
        }
    }

    private async Task AnswerAsync(HttpContext context, ClusterRequest request, CancellationToken over)
    {
        var query = context.Request.Query;
        switch (request)
        {
            case { Path: { Plural: "pods", Subresource: "portforward" } }:
                await PodStreams.ForwardAsync(context, Cluster, request.Path, Dial, over);
                break;
            case { Verb: "get", Path: { Plural: "pods", Subresource: "log" } }:
                await PodStreams.WriteLogAsync(context, Cluster, request.Path, LogOf, over);
                break;
            case { Verb: "watch" }:
                await WatchAsync(context, request.Path, over);
                break;
            default:
                var (code, body, refusal) = _verbs.Answer(request, LabelSelector.Parse(query["labelSelector"]), FieldSelector.Parse(query["fieldSelector"]));
                await (refusal is null ? WriteAsync(context, code, body!) : WriteAsync(context, refusal));
                break;
        }
    }

    private async Task WatchAsync(HttpContext context, ResourcePath path, CancellationToken over)
    {
        var (labels, fields) = (LabelSelector.Parse(context.Request.Query["labelSelector"]), FieldSelector.Parse(context.Request.Query["fieldSelector"]));
        var from = (string?)context.Request.Query["resourceVersion"];
        context.Response.ContentType = "application/json";
        var changes = Cluster.Watch(fromStart: string.IsNullOrEmpty(from) || from == "0", over);
        await context.Response.Body.FlushAsync(over);
        await foreach (var change in changes.ReadAllAsync(over))
        {
            if (change.Path.Qualified == path.Qualified && (path.Namespace.Length == 0 || change.Path.Namespace == path.Namespace)
                && (path.Name.Length == 0 || change.Path.Name == path.Name)
                && (labels?.Takes(change.Object) ?? true) && (fields?.Takes(change.Object) ?? true))
            {
                await context.Response.WriteAsync(new JsonObject { ["type"] = change.Type, ["object"] = change.Object }.ToJsonString() + "\n", over);
                await context.Response.Body.FlushAsync(over);
            }
        }
    }

    private static async Task<ClusterRequest> ReadAsync(HttpRequest request, ResourcePath path, CancellationToken over)
    {
        using var reader = new StreamReader(request.Body);
        var text = await reader.ReadToEndAsync(over);
        var isWatch = request.Query["watch"] == "true" || request.Query["watch"] == "1";
        var verb = request.Method switch
        {
            "GET" when isWatch => "watch",
            "GET" => path.Name.Length == 0 ? "list" : "get",
            "POST" => "create",
            "PUT" => "update",
            "PATCH" when request.ContentType?.StartsWith("application/apply-patch+yaml", StringComparison.Ordinal) == true => "apply",
            "PATCH" => "patch",
            "DELETE" => path.Name.Length == 0 ? "deletecollection" : "delete",
            _ => throw new FormatException($"the method {request.Method} is not served"),
        };
        var body = text.Length == 0 ? null : JsonNode.Parse(text) as JsonObject ?? throw new FormatException("the body is no object");
        if (verb == "delete" && body is null && (string?)request.Query["propagationPolicy"] is { Length: > 0 } propagation)
        {
            body = new JsonObject { ["propagationPolicy"] = propagation };
        }

        var authorization = request.Headers.Authorization.ToString();
        return new ClusterRequest(verb, path, request.Query["dryRun"] == "All", body, request.Query["fieldManager"].ToString(), request.Query["force"] == "true")
        {
            Token = authorization.StartsWith(Bearer, StringComparison.Ordinal) ? authorization[Bearer.Length..] : "",
        };
    }

    private static Task WriteAsync(HttpContext context, StatusReply refusal) => WriteAsync(context, refusal.Code, refusal.ToJson());

    private static Task WriteAsync(HttpContext context, int code, JsonObject body)
    {
        context.Response.StatusCode = code;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(body.ToJsonString());
    }
}
