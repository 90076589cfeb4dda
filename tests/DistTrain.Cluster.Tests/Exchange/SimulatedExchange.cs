using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Protocol.Exchange;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>One operation of a simulation.</summary>
/// <param name="Blocks">K.</param>
/// <param name="Ranges">The blocks of every rank.</param>
/// <param name="Metrics">Metric sums of every header.</param>
internal sealed record SimulatedOperation(int Blocks, IReadOnlyList<BlockRange> Ranges, int Metrics);

/// <summary>
/// All ranks of a world on one thread: a seeded random chooses who computes a block or which link delivers its next message. Links keep their order and
/// nothing else; a message is read from the sender's memory when it is sent or when it is delivered, the earliest or the latest that a real transport could.
/// </summary>
internal sealed class SimulatedExchange : IDisposable
{
    private readonly ParameterLayout _layout;
    private readonly Random _random;
    private readonly IReadOnlyList<SimulatedOperation> _operations;
    private readonly List<Rank> _ranks;
    private readonly List<Link> _links = [];

    public SimulatedExchange(ParameterLayout layout, IReadOnlyList<SimulatedOperation> operations, int seed)
    {
        (_layout, _operations, _random) = (layout, operations, new Random(seed));
        var world = operations[0].Ranges.Count;
        _ranks = [.. Enumerable.Range(0, world).Select(r => new Rank(this, r))];
        foreach (var from in _ranks)
        {
            foreach (var to in _ranks.Where(to => to != from))
            {
                // Nodes and shards travel on calls of their own.
                _links.AddRange([new Link(from.Number, to), new Link(from.Number, to)]);
            }
        }
    }

    /// <summary>How often a message had to wait because its sender was one operation ahead.</summary>
    public int Waits { get; private set; }

    /// <summary>Chunks of nodes that were sent before their last block was computed.</summary>
    public int EarlyMessages { get; private set; }

    /// <summary>Checks a result: the operation, the rank, the reduced vector, the header.</summary>
    public required Action<int, int, ReducedVector, NodeHeader> OnWhole { get; init; }

    /// <summary>Element of a block's gradient sum.</summary>
    public static float Value(int operation, int block, long element) =>
        ((long)(Hash64.Combine((ulong)operation, (ulong)block, (ulong)element) >> 40) - (1 << 23)) / 977f;

    /// <summary>A block's header.</summary>
    public static NodeHeader Header(int operation, int block, int metrics) => new(
        Value(operation, block, -1), 1 + block, [.. Enumerable.Range(0, metrics).Select(m => (double)Value(operation, block, -2 - m))]);

    public async Task RunAsync()
    {
        while (true)
        {
            var choices = _ranks.Where(r => r.CanAct).Select(r => (Func<Task>)r.ActAsync)
                .Concat(_links.Where(l => l.CanDeliver).Select(l => (Func<Task>)(() => DeliverAsync(l))))
                .ToList();
            if (choices.Count == 0)
            {
                break;
            }

            await choices[_random.Next(choices.Count)]();
        }

        Assert.All(_ranks, r => Assert.Equal(_operations.Count, r.Done));
        Assert.All(_links, l => Assert.Empty(l.Messages));
    }

    public void Dispose() => _ranks.ForEach(r => r.Dispose());

    private async Task DeliverAsync(Link link)
    {
        var (operation, _, take) = link.Messages.Peek();
        var found = link.To.Table.FindAsync((ulong)operation + 1, CancellationToken.None).AsTask();
        if (!found.IsCompleted)
        {
            Waits++;
            link.Waiting = found;
            return;
        }

        link.Messages.Dequeue();
        Assert.Null(take(Assert.IsType<AllReduce>(await found)));
    }

    private Link LinkOf(int from, int to, bool nodes) => _links.Where(l => l.From == from && l.To.Number == to).ElementAt(nodes ? 0 : 1);

    private sealed class Link(int from, Rank to)
    {
        public int From => from;

        public Rank To => to;

        public Queue<(int Operation, NodeId? Node, Func<AllReduce, string?> Take)> Messages { get; } = [];

        public Task<AllReduce?>? Waiting { get; set; }

        public bool CanDeliver => Messages.Count > 0 && Waiting is null;
    }

    private sealed class Rank(SimulatedExchange world, int number) : IPeerLinks, IDisposable
    {
        private readonly HostNodePool _pool = new(world._layout);
        private readonly ReducedVector[] _reduced =
            [.. Enumerable.Range(0, 2).Select(_ => new ReducedVector(new NativeVector(world._layout.Count), new double[world._layout.Tiles.Count]))];

        private AllReduce? _current;
        private BlockFold? _fold;
        private NodeSend? _send;
        private int _block;

        public int Number => number;

        public OperationTable Table { get; } = new();

        public int Done { get; private set; }

        public bool CanAct =>
            _current is null ? Done < world._operations.Count : _block < Operation.Ranges[number].End || _current.Whole.IsCompleted;

        private SimulatedOperation Operation => world._operations[Done];

        public async Task ActAsync()
        {
            if (_current is null)
            {
                await BeginAsync();
            }
            else if (_block < Operation.Ranges[number].End)
            {
                Compute(_block++);
            }
            else
            {
                world.OnWhole(Done, number, _reduced[Done % 2], await _current.Whole);
                _fold!.Release();
                _current = null;
                Done++;
            }
        }

        public void SendNode(
            ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks)
        {
            for (var index = chunks.Start.Value; index < chunks.End.Value; index++)
            {
                var (chunk, at) = (shards.Chunks(owner)[index], index);
                var atOnce = world._random.Next(2) == 0 ? Copy(values, chunk) : null;
                world.LinkOf(number, owner, nodes: true).Messages.Enqueue(((int)operation - 1, node, target => target.TakeNode(
                    number, node, weightsHash, at, atOnce ?? Copy(values, chunk), at == 0 ? header : null)));
            }
        }

        public void SendShardChunk(
            ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header)
        {
            foreach (var to in world._ranks.Where(r => r != this).Select(r => r.Number))
            {
                world.LinkOf(number, to, nodes: false).Messages.Enqueue(((int)operation - 1, null, Take));
            }

            string? Take(AllReduce target)
            {
                using var payload = Copy(reduced, chunk);
                return target.TakeShardChunk(number, index, payload, tileSquares.ToArray(), header);
            }
        }

        public void Dispose()
        {
            _pool.Dispose();
            Array.ForEach(_reduced, r => r.Values.Dispose());
        }

        private async Task BeginAsync()
        {
            var operation = Operation;
            var spec = Plans.Spec(operation.Blocks, operation.Ranges);
            _fold = new BlockFold(spec, number, _pool, rootPlace: operation.Ranges.Count == 1 ? _reduced[Done % 2].Values : null);
            _block = operation.Ranges[number].First;
            _current = new AllReduce(
                (ulong)Done + 1, 42, number, spec, new ShardTable(world._layout.Tiles, operation.Ranges.Count), world._layout.Tiles,
                operation.Metrics, _reduced[Done % 2], this);
            Table.Begin(_current);
            foreach (var link in world._links.Where(l => l.To == this && l.Waiting is not null))
            {
                Assert.Same(_current, await link.Waiting!);
                link.Waiting = null;
            }
        }

        private void Compute(int block)
        {
            var node = _fold!.Begin(block, onTop: false);
            var values = node.Block.ToHost().Span(0, (int)world._layout.Count);
            var send = node.IsCover ? _send ??= new NodeSend(_current!.Shards, world._layout) : null;
            send?.Begin(_current!, node);
            if (send is not null && _current!.IsWorthEarlySends)
            {
                values.Fill(float.NaN);
                ComputeInParts(block, node, send);
            }
            else
            {
                for (var i = 0; i < values.Length; i++)
                {
                    values[i] = Value(Done, block, i);
                }
            }

            node.Block.Header = SimulatedExchange.Header(Done, block, Operation.Metrics);
            if (send is null)
            {
                node.FoldAll();
            }
            else
            {
                send.Finish();
            }

            _fold.Complete(node);
        }

        /// <summary>Parameters become final in any order, which need not be told; what is frozen is so from the start.</summary>
        private void ComputeInParts(int block, CompletingNode node, NodeSend send)
        {
            foreach (var (slot, number) in world._layout.Slots
                .Select((slot, number) => (slot, number)).OrderBy(s => s.slot.Kind == SlotKind.Frozen ? -1 : world._random.Next()).ToList())
            {
                for (var i = 0; i < slot.Count; i++)
                {
                    node.Block.ToHost().Span(slot.Offset + i, 1)[0] = Value(Done, block, slot.Offset + i);
                }

                if (slot.Kind == SlotKind.Parameter && world._random.Next(200) > 0)
                {
                    send.TakeFinal(number);
                }
            }

            world.EarlyMessages += world._links.Where(l => l.From == number).Sum(l => l.Messages.Count(m => m.Node == node.Node));
        }

        private static ChunkPayload Copy(NativeVector vector, Chunk chunk)
        {
            var payload = ChunkPayload.Rent(chunk.Count);
            vector.Span(chunk.FirstElement, chunk.Count).CopyTo(payload.Values);
            return payload;
        }
    }
}
