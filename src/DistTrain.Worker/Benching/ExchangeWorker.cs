using System.Diagnostics;
using System.Globalization;
using DistTrain.Protocol.Hosting;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker.Benching;

/// <summary>
/// A worker process that exchanges and trains nothing: the group, the links and the all-reduce of a run, told by lines what to do. All workers are told the same at
/// once. It says where it listens and is told where all do; then
/// <list type="bullet">
/// <item><c>link TRANSPORT</c> reaches all others: <c>linked</c>, or <c>unlinked</c> and why that transport is not to be had;</item>
/// <item><c>run TRANSPORT BYTES TIMES</c> is answered by milliseconds, seconds of processor time, and bytes of managed memory allocated.</item>
/// </list>
/// It ends with its commands.
/// </summary>
public sealed class ExchangeWorker : IAsyncDisposable
{
    /// <summary>Copies in memory, which stands for the limit of all transports.</summary>
    public const string Memcpy = "memcpy";

    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);

    private readonly int _rank;
    private readonly int _world;
    private readonly PeerGroupDirectory _groups = new(TimeProvider.System, Patience);
    private readonly LinkDoor _door;
    private readonly Dictionary<string, Linked> _linked = [];
    private IReadOnlyList<Uri> _addresses = [];
    private ExchangeVectors? _vectors;
    private ulong _generation;

    private ExchangeWorker(int rank, int world)
    {
        (_rank, _world) = (rank, world);
        _door = new LinkDoor(_groups, TimeProvider.System);
    }

    /// <summary>The transports there are, best first.</summary>
    public static IReadOnlyList<string> AllTransports { get; } = [Transports.SharedMemory, Transports.Tcp, Transports.Grpc];

    /// <summary>Does what it is told until there are no more commands.</summary>
    /// <param name="rank">The own rank.</param>
    /// <param name="world">How many workers there are.</param>
    /// <param name="commands">Where commands come from.</param>
    /// <param name="answers">Where answers go.</param>
    /// <returns>Why it ended before its commands did; null where it did not.</returns>
    public static async Task<string?> RunAsync(int rank, int world, TextReader commands, TextWriter answers)
    {
        await using var worker = new ExchangeWorker(rank, world);
        await using var server = GrpcListener.Create(
            "127.0.0.1:0",
            all => all.AddSingleton(new PeerService(worker._groups, new StateSource())).AddSingleton<IConnectionListenerFactory>(new SharedPort(worker._door)),
            LogLevel.Error);
        server.MapGrpcService<PeerService>();
        await AnswerAsync((await GrpcListener.StartAsync(server, "127.0.0.1:0", CancellationToken.None)).ToString());
        worker._addresses = [.. (await commands.ReadLineAsync() ?? "").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(a => new Uri($"http://{a}"))];
        try
        {
            while (await commands.ReadLineAsync() is { } line)
            {
                await AnswerAsync(await worker.ObeyAsync(line.Split(' ')));
            }
        }
        catch (WorkerException e)
        {
            return e.Message;
        }

        return null;

        async Task AnswerAsync(string line)
        {
            await answers.WriteLineAsync(line);
            await answers.FlushAsync();
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var linked in _linked.Values)
        {
            await linked.Group.DisposeAsync();
        }

        _vectors?.Dispose();
        await _door.DisposeAsync();
    }

    private async Task<string> ObeyAsync(string[] words) => words switch
    {
        ["link", var transport] => await LinkAsync(transport) is { } reason ? $"unlinked {reason}" : "linked",
        ["forget", var bytes] => Done(VectorsOf(long.Parse(bytes, CultureInfo.InvariantCulture)).Forget),
        ["check", var bytes] => Done(VectorsOf(long.Parse(bytes, CultureInfo.InvariantCulture)).Check),
        ["run", var transport, var bytes, var times] => await MeasureAsync(
            transport, long.Parse(bytes, CultureInfo.InvariantCulture), int.Parse(times, CultureInfo.InvariantCulture)),
        _ => throw new WorkerException($"'{string.Join(' ', words)}' is no command."),
    };

    private static string Done(Action action)
    {
        action();
        return "done";
    }

    private async Task<string?> LinkAsync(string transport)
    {
        var group = new PeerGroup(new RunTag(1, 1, ++_generation), _rank, _addresses, Patience, _door.Settings(transport));
        _groups.Set(group);
        using var deadline = new CancellationTokenSource(Patience);
        if (!await group.LinkAsync(deadline.Token))
        {
            throw new WorkerException((await group.Broken).Reason);
        }

        if (group.Ways.FirstOrDefault(w => w.Transport.Length > 0 && w.Transport != transport) is { Transport: not null } other)
        {
            await group.DisposeAsync();
            return other.Reason;
        }

        _linked[transport] = new Linked(group);
        return null;
    }

    private async Task<string> MeasureAsync(string transport, long bytes, int times)
    {
        var vectors = VectorsOf(bytes);
        var (allocated, cpu, started) = (GC.GetTotalAllocatedBytes(), Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
        if (transport == Memcpy)
        {
            vectors.Copy(times);
        }
        else if (_linked.TryGetValue(transport, out var linked))
        {
            await vectors.ReduceAsync(linked.Group, linked.Operations + 1, times);
            linked.Operations += (ulong)times;
        }
        else
        {
            throw new WorkerException($"'{transport}' is not linked.");
        }

        var took = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
        return string.Create(
            CultureInfo.InvariantCulture, $"{took} {(Environment.CpuUsage.TotalTime - cpu).TotalSeconds} {GC.GetTotalAllocatedBytes() - allocated}");
    }

    private ExchangeVectors VectorsOf(long bytes)
    {
        if (_vectors?.Bytes != bytes)
        {
            _vectors?.Dispose();
            _vectors = new ExchangeVectors(_rank, _world, bytes);
        }

        return _vectors;
    }

    /// <summary>A group, and how many operations it has done.</summary>
    private sealed class Linked(PeerGroup group)
    {
        public PeerGroup Group => group;

        public ulong Operations { get; set; }
    }
}
