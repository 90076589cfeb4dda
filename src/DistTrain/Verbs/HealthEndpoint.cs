using System.CommandLine;
using DistTrain.Protocol.Hosting;

namespace DistTrain.Verbs;

/// <summary>The option <c>--health</c>, and what it starts.</summary>
internal sealed class HealthEndpoint : IAsyncDisposable
{
    private readonly HealthServer? _server;
    private readonly IDisposable _meter;

    private HealthEndpoint(HealthServer? server, IDisposable meter)
    {
        (_server, _meter) = (server, meter);
    }

    /// <summary>The option.</summary>
    public static Option<string?> Option()
    {
        var option = new Option<string?>("--health")
        {
            Description = "Where probes ask over HTTP: /startup, /ready and /live answer 200 or 503 with a sentence, /metrics shows numbers for Prometheus. Nowhere, unless you say so.",
            HelpName = "ADDRESS:PORT",
        };
        option.Validators.Add(result =>
        {
            if (!Common.IsEndpoint(Common.Given(result)))
            {
                result.AddError($"--health is '{Common.Given(result)}': must be ADDRESS:PORT, such as 127.0.0.1:8080.");
            }
        });
        return option;
    }

    /// <summary>Starts answering, where an address was given.</summary>
    /// <param name="address">The address; null for none.</param>
    /// <param name="source">Who answers.</param>
    /// <param name="meter">The instruments that are shown; owned.</param>
    /// <param name="name">The name of their meter.</param>
    /// <param name="surroundings">Told where it listens, or why it cannot.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <returns>Null where it cannot.</returns>
    public static async Task<HealthEndpoint?> StartAsync(
        string? address, IHealthSource source, IDisposable meter, string name, Surroundings surroundings, CancellationToken cancellation)
    {
        try
        {
            if (address is null)
            {
                return new HealthEndpoint(null, meter);
            }

            var server = await HealthServer.StartAsync(address, source, name, cancellation);
            surroundings.Error.WriteLine($"Health is told at http://{server.Address}.");
            return new HealthEndpoint(server, meter);
        }
        catch (Exception e) when (e is AddressException || (e is OperationCanceledException && cancellation.IsCancellationRequested))
        {
            meter.Dispose();
            surroundings.Fail(e is AddressException ? e.Message : "Stopped before it began.");
            return null;
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _meter.Dispose();
    }
}
