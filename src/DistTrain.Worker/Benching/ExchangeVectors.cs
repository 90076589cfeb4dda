using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;
using DistTrain.Worker.Exchange;

namespace DistTrain.Worker.Benching;

/// <summary>The vectors of one worker that takes part in all-reduces of one size: every rank offers one node, whose numbers say where they are.</summary>
internal sealed class ExchangeVectors : IDisposable
{
    private const int Piece = 1 << 20;

    /// <summary>Numbers that differ within a chunk and from one chunk to the next; so small that their sums are exact.</summary>
    private const int Period = 1021;

    private readonly int _world;
    private readonly ParameterLayout _layout;
    private readonly ShardTable _shards;
    private readonly ReductionSpec _spec;
    private readonly NativeVector _own;
    private readonly ReducedVector[] _reduced;
    private int _done;

    /// <summary>Takes the memory.</summary>
    /// <param name="rank">The own rank.</param>
    /// <param name="world">How many workers there are.</param>
    /// <param name="bytes">Size of a vector; whole numbers of 4 bytes count.</param>
    public ExchangeVectors(int rank, int world, long bytes)
    {
        (_world, Bytes) = (world, bytes);
        _layout = new ParameterLayout([("p", [bytes / sizeof(float)], SlotKind.Parameter)]);
        _shards = new ShardTable(_layout.Tiles, world);
        _spec = ReductionSpec.Canonical(world, [.. Enumerable.Range(0, world).Select(r => WorkShare.Of(new BlockRange(r, r + 1)))]);
        _own = new NativeVector(_layout.Count);
        _reduced = [.. Enumerable.Range(0, 2).Select(_ => new ReducedVector(new NativeVector(_layout.Count), new double[_layout.Tiles.Count]))];
        for (var at = 0L; at < _own.Count; at += Piece)
        {
            var piece = _own.Span(at, (int)Math.Min(Piece, _own.Count - at));
            for (var i = 0; i < piece.Length; i++)
            {
                piece[i] = Value(at + i, rank + 1);
            }
        }
    }

    /// <summary>Size of a vector.</summary>
    public long Bytes { get; }

    /// <summary>Does all-reduces, one after another, as the steps of a run do.</summary>
    /// <param name="group">The workers.</param>
    /// <param name="first">The number of the first operation; they count on from there.</param>
    /// <param name="times">How many.</param>
    /// <exception cref="WorkerException">A link broke, or the last number of a sum is wrong.</exception>
    public async Task ReduceAsync(PeerGroup group, ulong first, int times)
    {
        for (var i = 0; i < times; i++)
        {
            // Two in turns: a peer may still be sent this worker's part of the last one.
            var reduced = _reduced[++_done % 2];
            var operation = new AllReduce(first + (ulong)i, 0, group.Rank, _spec, _shards, _layout.Tiles, 0, reduced, group);
            group.Operations.Begin(operation);
            operation.Offer(_spec.Covers[group.Rank].Single(), _own, new NodeHeader(1, 1, []));
            if (await Task.WhenAny(operation.Whole, group.Broken) != operation.Whole)
            {
                var broken = await group.Broken;
                throw new WorkerException($"Rank {broken.Rank}: {broken.Reason}.");
            }

            await operation.Whole;
            Check(reduced.Values, _own.Count - 1);
        }
    }

    /// <summary>Forgets the sums, while no worker reduces: nothing of an earlier one is taken for a later one's.</summary>
    public void Forget()
    {
        foreach (var reduced in _reduced)
        {
            for (var at = 0L; at < reduced.Values.Count; at += Piece)
            {
                reduced.Values.Span(at, (int)Math.Min(Piece, reduced.Values.Count - at)).Clear();
            }
        }
    }

    /// <summary>Looks at every number of the last sum.</summary>
    /// <exception cref="WorkerException">One is wrong.</exception>
    public void Check() => Check(_reduced[_done % 2].Values, 0);

    /// <summary>Copies as many bytes in memory as an all-reduce has a worker send: the limit of whatever moves them.</summary>
    public void Copy(int times)
    {
        for (var i = 0; i < times; i++)
        {
            var (at, left) = (0L, 2 * (_world - 1) * _own.Count / _world);
            while (left > 0)
            {
                var count = (int)Math.Min(Math.Min(Piece, left), _own.Count - at);
                _own.Span(at, count).CopyTo(_reduced[0].Values.Span(at, count));
                (at, left) = ((at + count) % _own.Count, left - count);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _own.Dispose();
        Array.ForEach(_reduced, r => r.Values.Dispose());
    }

    private void Check(NativeVector sums, long from)
    {
        var ranks = _world * (_world + 1) / 2;
        for (var at = from; at < sums.Count; at += Piece)
        {
            var piece = sums.Span(at, (int)Math.Min(Piece, sums.Count - at));
            for (var i = 0; i < piece.Length; i++)
            {
                if (piece[i] != Value(at + i, ranks))
                {
                    throw new WorkerException($"The sum of {Bytes} bytes is wrong: number {at + i} is {piece[i]}, not {Value(at + i, ranks)}.");
                }
            }
        }
    }

    private static float Value(long element, int ranks) => (1 + element % Period) * ranks;
}
