using System.Net;
using System.Net.Sockets;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol;
using DistTrain.Protocol.Faults;
using DistTrain.Protocol.Hosting;
using DistTrain.Training.Data;
using DistTrain.Training.Devices;
using DistTrain.Training.Tasks;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using DistTrain.Worker.Health;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <summary>What a worker is started with.</summary>
public sealed record WorkerSettings
{
    /// <summary>The coordinator's address, such as <c>http://127.0.0.1:5400</c>.</summary>
    public required Uri Coordinator { get; init; }

    /// <summary>Address and port to listen on for peers; port 0 lets the system choose.</summary>
    public required string Listen { get; init; }

    /// <summary>Host, or host and port, at which peers reach this worker; null for its own address on the route to the coordinator.</summary>
    public string? Advertise { get; init; }

    /// <summary>The worker's number where a launcher gave one, else -1.</summary>
    public int Number { get; init; } = -1;

    /// <summary>A configuration to hold against the coordinator's; null to take whatever it sends.</summary>
    public RunOptions? Options { get; init; }

    /// <summary>Where this host keeps the data; null for what the configuration says.</summary>
    public string? DataPath { get; init; }

    /// <summary>The folder in which this host keeps data that it gets; null for none.</summary>
    public string? Cache { get; init; } = CacheFolder.Find(CacheFolder.Data);

    /// <summary>Where this worker computes; null for what the configuration says.</summary>
    public string? Device { get; init; }

    /// <summary>Opens a device by its name and the worker's number.</summary>
    internal Func<string, int, ComputeDevice> OpenDevice { get; init; } = ComputeDevice.Open;

    /// <summary>
    /// How long the coordinator may be out of reach; null for 30 s at the start, and for one that was there before long enough to be started on another machine.
    /// </summary>
    public TimeSpan? Patience { get; init; }

    /// <summary>How long the coordinator may be out of reach at the start.</summary>
    internal TimeSpan FirstPatience => Patience ?? Timeouts.Default.FirstAnswer;

    /// <summary>
    /// Whether the worker outlives runs: it waits for a coordinator without a limit, and for the next one when a run has ended, until it is cancelled.
    /// </summary>
    public bool Stay { get; init; }

    /// <summary>Where it notes what it is at; null for nowhere that anybody looks.</summary>
    public WorkerVitals? Vitals { get; init; }

    /// <summary>The tasks this program knows.</summary>
    public required TaskCatalog Tasks { get; init; }

    /// <summary>Whether the system killed the process in whose place this one was started, for want of memory.</summary>
    public bool WasKilledForMemory { get; init; }

    /// <summary>
    /// The most memory that this process may take, in bytes, where <c>memory.limit</c> says nothing: its share of what a launcher found; null to look for oneself.
    /// </summary>
    public long? MemoryShare { get; init; }

    /// <summary>What is done to this worker on purpose; null for nothing.</summary>
    public FaultInjector? Faults { get; init; }

    /// <summary>Where the log goes; null for the console.</summary>
    public ILoggerProvider? Log { get; init; }
}

/// <summary>Runs a worker from start to end.</summary>
public static class WorkerHost
{
    /// <summary>Returns when the coordinator dismisses the worker, when it has failed, or when it is cancelled.</summary>
    public static async Task<RunOutcome> RunAsync(WorkerSettings settings, TimeProvider time, CancellationToken cancellation)
    {
        try
        {
            var groups = new PeerGroupDirectory(time, settings.FirstPatience);
            await using var door = new LinkDoor(groups, time);
            var services = new WorkerServices(groups, new StateSource(), door, settings.Vitals ?? new WorkerVitals(time));
            await using var server = GrpcListener.Create(
                settings.Listen,
                all => all.AddSingleton(new PeerService(services.Groups, services.States)).AddSingleton<IConnectionListenerFactory>(new SharedPort(door)),
                log: settings.Log);
            server.MapGrpcService<PeerService>();
            var bound = await GrpcListener.StartAsync(server, settings.Listen, cancellation);
            var (own, arithmetic) = (GivenAddress(settings, bound), Arithmetic.Describe());
            var logger = server.Services.GetRequiredService<ILogger<WorkerLoop>>();
            await using var life = new WorkerLife(Hello, settings, services, time, logger);
            return await life.RunAsync(cancellation);

            WorkerHello Hello() => new(
                RunMachine.Protocol, ProgramIdentity.Version, settings.Number, Dns.GetHostName(), Environment.ProcessId,
                own ?? AddressOf(RouteTo(settings), bound.Port), arithmetic, settings.Options is null ? "" : ProgramIdentity.Fingerprint(settings.Options))
            {
                WasKilledForMemory = settings.WasKilledForMemory,
            };
        }
        catch (RefusedException e)
        {
            return new RunOutcome(false, e.Message) { IsRefusal = true };
        }
        catch (Exception e) when (e is WorkerException or AddressException or DataException or PlatformNotSupportedException)
        {
            return new RunOutcome(false, e.Message);
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException && cancellation.IsCancellationRequested)
        {
            return new RunOutcome(true, "The worker ended as it was asked to, without a coordinator.");
        }
    }

    /// <summary>Where peers reach this worker as far as it was told; null where that follows from the route to the coordinator.</summary>
    private static string? GivenAddress(WorkerSettings settings, IPEndPoint bound)
    {
        if (settings.Advertise is { } given)
        {
            var text = given.Contains("://", StringComparison.Ordinal) ? given : $"http://{given}";
            if (!Uri.TryCreate(text, UriKind.Absolute, out var uri) || uri.Scheme != Uri.UriSchemeHttp)
            {
                throw new WorkerException($"'{given}' is no address for peers: give --advertise a host, or a host and port.");
            }

            return new UriBuilder(uri) { Port = given.Contains($":{uri.Port}", StringComparison.Ordinal) ? uri.Port : bound.Port }.Uri.ToString();
        }

        return bound.Address.Equals(IPAddress.Any) || bound.Address.Equals(IPAddress.IPv6Any) ? null : AddressOf(bound.Address, bound.Port);
    }

    private static string AddressOf(IPAddress address, int port) => new UriBuilder(Uri.UriSchemeHttp, address.ToString(), port).Uri.ToString();

    /// <summary>
    /// The own address on the route to the coordinator. Connecting a datagram socket asks the routing table and sends nothing. A name that is not known may be known later, to
    /// a worker that waits.
    /// </summary>
    private static IPAddress RouteTo(WorkerSettings settings)
    {
        var host = settings.Coordinator;
        try
        {
            using var socket = new Socket(SocketType.Dgram, ProtocolType.Udp);
            socket.Connect(host.DnsSafeHost, host.Port);
            var local = ((IPEndPoint)socket.LocalEndPoint!).Address;
            return local.IsIPv4MappedToIPv6 ? local.MapToIPv4() : local;
        }
        catch (SocketException e) when (!settings.Stay)
        {
            throw new WorkerException($"There is no route to {host.Host}: see that the coordinator's address is right. ({e.Message})", e);
        }
    }
}
