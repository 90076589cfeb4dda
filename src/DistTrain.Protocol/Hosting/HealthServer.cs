using System.Net;
using DistTrain.Core.Health;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.Extensions.Logging;
using OpenTelemetry;
using OpenTelemetry.Metrics;

namespace DistTrain.Protocol.Hosting;

/// <summary>
/// Answers over HTTP/1.1 how a process is: <c>/startup</c>, <c>/ready</c> and <c>/live</c> with 200 or 503 and a sentence, <c>/metrics</c> in Prometheus' text format. It
/// has an address of its own, because the probes of a cluster speak no gRPC without help, and workers' traffic must not keep them waiting.
/// </summary>
public sealed class HealthServer : IAsyncDisposable
{
    private readonly WebApplication _server;
    private readonly MeterProvider _metrics;

    private HealthServer(WebApplication server, MeterProvider metrics)
    {
        (_server, _metrics) = (server, metrics);
    }

    /// <summary>Where it listens, with the port the system chose where none was given.</summary>
    public IPEndPoint Address { get; private set; } = new(IPAddress.None, 0);

    /// <summary>Starts one.</summary>
    /// <param name="listen">Address and port, such as 0.0.0.0:8080.</param>
    /// <param name="source">Who answers.</param>
    /// <param name="meter">The name of the meter whose instruments <c>/metrics</c> shows.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <exception cref="AddressException">The text is no address, it is in use, or is not this machine's.</exception>
    public static async Task<HealthServer> StartAsync(string listen, IHealthSource source, string meter, CancellationToken cancellation)
    {
        var endpoint = GrpcListener.Parse(listen);
        var builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel =>
        {
            kestrel.AddServerHeader = false;
            kestrel.Listen(endpoint, o => o.Protocols = HttpProtocols.Http1);
        });
        var metrics = Sdk.CreateMeterProviderBuilder()
            .AddMeter(meter)
            .AddPrometheusExporter(o => (o.ScopeInfoEnabled, o.TargetInfoEnabled) = (false, false))
            .Build();
        var server = builder.Build();
        server.UseOpenTelemetryPrometheusScrapingEndpoint(metrics, predicate: null, path: "/metrics", configureBranchedPipeline: null, optionsName: null);
        server.MapGet("/startup", context => AnswerAsync(context, source.Startup));
        server.MapGet("/ready", context => AnswerAsync(context, source.Ready));
        server.MapGet("/live", context => AnswerAsync(context, source.Live));
        var health = new HealthServer(server, metrics);
        try
        {
            health.Address = await GrpcListener.StartAsync(server, listen, cancellation, option: "--health");
            return health;
        }
        catch
        {
            await health.DisposeAsync();
            throw;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        // A probe that is being answered is not worth waiting for.
        using var now = new CancellationTokenSource();
        await now.CancelAsync();
        await _server.StopAsync(now.Token);
        await _server.DisposeAsync();
        _metrics.Dispose();
    }

    private static Task AnswerAsync(HttpContext context, HealthAnswer answer)
    {
        context.Response.StatusCode = answer.IsGood ? StatusCodes.Status200OK : StatusCodes.Status503ServiceUnavailable;
        context.Response.ContentType = "text/plain; charset=utf-8";
        context.Response.Headers.CacheControl = "no-store";
        return context.Response.WriteAsync($"{answer.Sentence}\n", context.RequestAborted);
    }
}
