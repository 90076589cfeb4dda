using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Hosting;
using DistTrain.TestKit;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Two workers' exchange and nothing else of them, over real sockets, each with settings of its own.</summary>
internal sealed class LinkedPair : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(20);
    private readonly List<End> _ends;

    private LinkedPair(List<End> ends) => _ends = ends;

    /// <summary>The two groups, by rank.</summary>
    public IReadOnlyList<PeerGroup> Groups => [.. _ends.Select(e => e.Group!)];

    /// <summary>Starts two workers; they are not linked yet.</summary>
    /// <param name="change">Changes the settings of a rank, which are those of auto.</param>
    /// <param name="onlyHttp">Whether nothing but HTTP passes their ports, as where a proxy stands before them.</param>
    public static async Task<LinkedPair> StartAsync(Func<int, LinkSettings, LinkSettings> change, bool onlyHttp = false)
    {
        var ends = new List<End> { await End.StartAsync(Patience, onlyHttp), await End.StartAsync(Patience, onlyHttp) };
        var addresses = ends.Select(e => e.Address).ToList();
        for (var rank = 0; rank < 2; rank++)
        {
            ends[rank].Group = new PeerGroup(new RunTag(0xABCD, 1, 3), rank, addresses, Patience, change(rank, ends[rank].Door.Settings("auto"))) { Numbers = [0, 1] };
            ends[rank].Groups.Set(ends[rank].Group!);
        }

        return new LinkedPair(ends);
    }

    /// <summary>Links both, and says how rank 0 reaches rank 1.</summary>
    public async Task<(string Transport, string Reason)> LinkAsync()
    {
        var linked = await Task.WhenAll(Groups.Select(g => g.LinkAsync(TestContext.Current.CancellationToken)));
        Assert.All(linked, Assert.True);
        return Groups[0].Ways[1];
    }

    /// <summary>Has the two reduce vectors, each a block of its own.</summary>
    /// <param name="operation">The number of the operation, one more than the last.</param>
    /// <param name="elements">How long the vectors are.</param>
    /// <param name="metrics">How many metric sums there are beside them.</param>
    public async Task ReduceAsync(ulong operation, int elements, int metrics = 1)
    {
        var layout = new ParameterLayout([("p", [elements], SlotKind.Parameter)]);
        var spec = Plans.Spec(2, [new BlockRange(0, 1), new BlockRange(1, 2)]);
        var reduced = new List<NativeVector>();
        var owned = new List<NativeVector>();
        var headers = await Task.WhenAll(Groups.Select(group =>
        {
            var (own, sum) = (new NativeVector(layout.Count), new NativeVector(layout.Count));
            for (var i = 0; i < elements; i++)
            {
                own.Span(i, 1)[0] = SimulatedExchange.Value((int)operation, group.Rank, i);
            }

            owned.Add(own);
            reduced.Add(sum);
            var all = new AllReduce(
                operation, 42, group.Rank, spec, new ShardTable(layout.Tiles, 2), layout.Tiles, metrics, new ReducedVector(sum, new double[layout.Tiles.Count]), group);
            group.Operations.Begin(all);
            all.Offer(new NodeId(0, group.Rank), own, SimulatedExchange.Header((int)operation, group.Rank, metrics));
            return all.Whole.WaitAsync(Patience);
        }));
        var (one, other) = (SimulatedExchange.Header((int)operation, 0, metrics), SimulatedExchange.Header((int)operation, 1, metrics));
        Assert.All(headers, header => Assert.Equal(one.MetricSums.Zip(other.MetricSums, (left, right) => left + right), header.MetricSums));
        for (var i = 0; i < elements; i++)
        {
            var sum = SimulatedExchange.Value((int)operation, 0, i) + SimulatedExchange.Value((int)operation, 1, i);
            Assert.Equal((sum, sum), (reduced[0].Span(i, 1)[0], reduced[1].Span(i, 1)[0]));
        }

        owned.Concat(reduced).ToList().ForEach(v => v.Dispose());
    }

    /// <summary>Ends a worker's part: its links break.</summary>
    public async Task EndAsync(int rank)
    {
        var group = _ends[rank].Group!;
        _ends[rank].Group = null;
        await group.DisposeAsync();
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var end in _ends)
        {
            await end.DisposeAsync();
        }
    }

    private sealed class End(PeerGroupDirectory groups, LinkDoor door, WebApplication server, Uri address) : IAsyncDisposable
    {
        public PeerGroupDirectory Groups => groups;

        public LinkDoor Door => door;

        public Uri Address => address;

        public PeerGroup? Group { get; set; }

        public static async Task<End> StartAsync(TimeSpan patience, bool onlyHttp)
        {
            var groups = new PeerGroupDirectory(TimeProvider.System, patience);
            var door = new LinkDoor(groups, TimeProvider.System);
            var server = GrpcListener.Create(
                "127.0.0.1:0",
                all =>
                {
                    all.AddSingleton(new PeerService(groups, new StateSource()));
                    if (!onlyHttp)
                    {
                        all.AddSingleton<IConnectionListenerFactory>(new SharedPort(door));
                    }
                },
                log: new LogBook());
            server.MapGrpcService<PeerService>();
            var bound = await GrpcListener.StartAsync(server, "127.0.0.1:0", CancellationToken.None);
            return new End(groups, door, server, new Uri($"http://{bound}"));
        }

        public async ValueTask DisposeAsync()
        {
            await (Group?.DisposeAsync() ?? ValueTask.CompletedTask);
            await server.DisposeAsync();
            await door.DisposeAsync();
        }
    }
}
