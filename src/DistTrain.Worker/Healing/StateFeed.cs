using System.Threading.Channels;
using DistTrain.Core.Layouts;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using Grpc.Core;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Healing;

/// <summary>
/// What a joiner is sent by a member: a copy of the state, then every operation the member applies. Both come from the compute thread, in order; sending them
/// holds nobody up, and a joiner that falls too far behind is cut off and copies anew.
/// </summary>
internal sealed class StateFeed : IDisposable
{
    /// <summary>How many reduced vectors may wait for the joiner.</summary>
    private const int MostWaiting = 4;

    private readonly StateHeader _header;
    private readonly List<NativeVector> _copy;
    private readonly Channel<FeedItem> _items = Channel.CreateBounded<FeedItem>(MostWaiting);

    /// <summary>Copies a replica's state. On the compute thread.</summary>
    /// <param name="replica">The state.</param>
    /// <param name="applied">The last operation it contains.</param>
    public StateFeed(Replica replica, ulong applied)
    {
        var state = replica.State;
        _header = new StateHeader
        {
            Applied = applied,
            LayoutFingerprint = replica.Layout.Fingerprint,
            WeightsHash = replica.WeightsHash,
            Vectors = { state.Select(s => s.Name) },
            Scalars = { replica.Scalars.ToDictionary() },
        };
        _copy = [.. state.Select(s => Copy(s.Vector))];
    }

    /// <summary>Adds an operation that was applied after the copy. On the compute thread.</summary>
    /// <returns>Whether the joiner still follows.</returns>
    public bool Add(ulong operation, bool isStep, double learningRate, NodeHeader header, NativeVector reduced)
    {
        var item = new FeedItem(
            new AppliedOperation { Operation = operation, IsStep = isStep, LearningRate = learningRate, Header = Wire.ToWire(header) },
            isStep ? Copy(reduced) : null);
        if (_items.Writer.TryWrite(item))
        {
            return true;
        }

        item.Reduced?.Dispose();
        _items.Writer.TryComplete(new InvalidOperationException($"the joiner is more than {MostWaiting} operations behind"));
        return false;
    }

    /// <summary>Sends everything, until the joiner hangs up.</summary>
    public async Task SendAsync(IServerStreamWriter<ChunkFrame<StateChunk>> joiner, CancellationToken cancellation)
    {
        await joiner.WriteAsync(new ChunkFrame<StateChunk>(new StateChunk { State = _header }, ChunkPayload.Empty), cancellation);
        for (var index = 0; index < _copy.Count; index++)
        {
            await SendAsync(joiner, index, _copy[index], cancellation);
            _copy[index].Dispose();
        }

        await foreach (var item in _items.Reader.ReadAllAsync(cancellation))
        {
            await joiner.WriteAsync(new ChunkFrame<StateChunk>(new StateChunk { Applied = item.Head }, ChunkPayload.Empty), cancellation);
            if (item.Reduced is not null)
            {
                using (item.Reduced)
                {
                    await SendAsync(joiner, 0, item.Reduced, cancellation);
                }
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _items.Writer.TryComplete();
        _copy.ForEach(c => c.Dispose());
        while (_items.Reader.TryRead(out var item))
        {
            item.Reduced?.Dispose();
        }
    }

    private static async Task SendAsync(
        IServerStreamWriter<ChunkFrame<StateChunk>> joiner, int index, NativeVector vector, CancellationToken cancellation)
    {
        for (var offset = 0L; offset < vector.Count; offset += ShardTable.MaxChunkElements)
        {
            var count = (int)Math.Min(ShardTable.MaxChunkElements, vector.Count - offset);
            await joiner.WriteAsync(
                new ChunkFrame<StateChunk>(new StateChunk { Vector = (uint)index, Offset = offset }, Payload(vector, offset, count)), cancellation);
        }
    }

    private static unsafe ChunkPayload Payload(NativeVector vector, long offset, int count) => ChunkPayload.Over(vector.Data + offset, count);

    private static NativeVector Copy(NativeVector vector)
    {
        var copy = new NativeVector(vector.Count);
        copy.CopyFrom(vector);
        return copy;
    }

    private sealed record FeedItem(AppliedOperation Head, NativeVector? Reduced);
}
