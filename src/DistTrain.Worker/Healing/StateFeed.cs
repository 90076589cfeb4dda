using System.Threading.Channels;
using DistTrain.Core.Layouts;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Exchange;
using Grpc.Core;
using NodeHeader = DistTrain.Core.Reduction.NodeHeader;

namespace DistTrain.Worker.Healing;

/// <summary>
/// What a joiner is sent by a member: the state as it was when the joiner asked, then every operation the member has applied since. The state is sent from where it
/// lies; only what is not sent yet when it changes is copied, just before. Sending holds nobody up, and a joiner that falls too far behind is cut off and copies anew.
/// </summary>
internal sealed class StateFeed : IDisposable
{
    /// <summary>How many reduced vectors may wait for the joiner.</summary>
    private const int MostWaiting = 4;

    /// <summary>Sixteen megabytes, whole chunks: the unit in which memory for a copy is taken and given back.</summary>
    private const long PieceElements = 64 * ShardTable.MaxChunkElements;

    private readonly StateHeader _header;
    private readonly List<Piece> _pieces = [];
    private readonly Lock _gate = new();
    private readonly Channel<FeedItem> _items = Channel.CreateBounded<FeedItem>(MostWaiting);
    private int _next;
    private int _isReserving;
    private bool _isDetached;
    private string? _over;

    /// <summary>Begins to feed a joiner. While the state does not change.</summary>
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
        for (var index = 0; index < state.Count; index++)
        {
            for (var offset = 0L; offset < state[index].Vector.Count; offset += PieceElements)
            {
                _pieces.Add(new Piece(index, state[index].Vector, offset, (int)Math.Min(PieceElements, state[index].Vector.Count - offset)));
            }
        }
    }

    /// <summary>Whether the joiner is gone, or has to ask anew.</summary>
    public bool IsOver
    {
        get
        {
            lock (_gate)
            {
                return _over is not null;
            }
        }
    }

    /// <summary>
    /// The state is going to change before long: takes memory for what may have to be copied then, from the end on, where it is sent last. In the background, because
    /// new memory costs more than the copy.
    /// </summary>
    public void Reserve()
    {
        if (Interlocked.Exchange(ref _isReserving, 1) == 0)
        {
            _ = Task.Run(ReserveAll);
        }
    }

    /// <summary>The state is about to change: copies what is not sent yet. Where there is no memory for that, the joiner has to ask anew.</summary>
    public void Detach()
    {
        lock (_gate)
        {
            if (_isDetached || _over is not null)
            {
                return;
            }

            try
            {
                foreach (var piece in _pieces.Skip(_next))
                {
                    piece.Copy ??= new NativeVector(piece.Count);
                    piece.Source.Span(piece.Offset, piece.Count).CopyTo(piece.Copy.Span(0, piece.Count));
                }

                _isDetached = true;
            }
            catch (OutOfMemoryException e)
            {
                Close($"the source has no memory for a copy of its state ({e.Message.TrimEnd('.')})");
            }
        }
    }

    /// <summary>Adds an operation that was applied. In the order in which they are.</summary>
    /// <returns>Whether the joiner still follows.</returns>
    public bool Add(Operation operation, NodeHeader header, ReducedVector reduced)
    {
        var isStep = operation.Kind == OperationKind.Train;
        var applied = new AppliedOperation
        {
            Operation = operation.Number,
            IsStep = isStep,
            LearningRate = operation.LearningRate,
            GlobalBatch = operation.Geometry.Global,
            Header = Wire.ToWire(header),
        };
        var item = new FeedItem(applied, isStep ? reduced : null);
        item.Reduced?.AddReader();
        if (_items.Writer.TryWrite(item))
        {
            return true;
        }

        item.Reduced?.Release();
        Close($"the joiner is more than {MostWaiting} operations behind");
        return false;
    }

    /// <summary>Ends the feed: from here on nothing of the state is read.</summary>
    /// <param name="reason">Why, for the joiner.</param>
    public void Close(string reason)
    {
        lock (_gate)
        {
            _over ??= reason;
            _items.Writer.TryComplete(new InvalidOperationException(_over));
            foreach (var piece in _pieces)
            {
                piece.Copy?.Dispose();
                piece.Copy = null;
            }
        }

        // A joiner that hangs is told late; what has waited for it is free at once.
        while (_items.Reader.TryRead(out var item))
        {
            item.Reduced?.Release();
        }
    }

    /// <summary>Sends everything, until the joiner hangs up.</summary>
    /// <param name="joiner">Where to.</param>
    /// <param name="patience">How long it may take nothing of what it is sent: what it has not read yet is kept for it.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the feed.</param>
    /// <exception cref="InvalidOperationException">The joiner has to ask anew; the message says why.</exception>
    public async Task SendAsync(IServerStreamWriter<ChunkFrame<StateChunk>> joiner, TimeSpan patience, TimeProvider time, CancellationToken cancellation)
    {
        using var deadline = new CancellationTokenSource(Timeout.InfiniteTimeSpan, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellation);
        try
        {
            await SendAllAsync(WriteAsync, cancellation);
        }
        catch (Exception e) when (deadline.IsCancellationRequested)
        {
            Close($"the joiner took nothing for {patience.TotalSeconds:0.#} s");
            throw new InvalidOperationException(_over, e);
        }

        async Task WriteAsync(StateChunk head, ChunkPayload payload)
        {
            deadline.CancelAfter(patience);
            await joiner.WriteAsync(new ChunkFrame<StateChunk>(head, payload), both.Token);
            deadline.CancelAfter(Timeout.InfiniteTimeSpan);
        }
    }

    /// <inheritdoc/>
    public void Dispose() => Close("the joiner hung up");

    private async Task SendAllAsync(Func<StateChunk, ChunkPayload, Task> write, CancellationToken cancellation)
    {
        await write(new StateChunk { State = _header }, ChunkPayload.Empty);
        foreach (var piece in _pieces)
        {
            for (var at = 0; at < piece.Count; at += ShardTable.MaxChunkElements)
            {
                using var payload = Take(piece, at);
                await write(Chunk(piece.Index, piece.Offset + at), payload);
            }

            Done(piece);
        }

        await foreach (var item in _items.Reader.ReadAllAsync(cancellation))
        {
            try
            {
                await write(new StateChunk { Applied = item.Head }, ChunkPayload.Empty);
                for (var offset = 0L; offset < (item.Reduced?.Values.Count ?? 0); offset += ShardTable.MaxChunkElements)
                {
                    using var payload = Take(item.Reduced!.Values, offset, item.Reduced.Values.Count);
                    await write(Chunk(0, offset), payload);
                }
            }
            finally
            {
                item.Reduced?.Release();
            }
        }
    }

    private static StateChunk Chunk(int vector, long offset) => new() { Vector = (uint)vector, Offset = offset };

    /// <summary>Chunks are copied one by one while nobody changes the state; whoever is about to waits for one chunk at most, never for the joiner.</summary>
    private ChunkPayload Take(Piece piece, int at)
    {
        lock (_gate)
        {
            return _isDetached && piece.Copy is { } copy ? Take(copy, at, piece.Count) : Take(piece.Source, piece.Offset + at, piece.Offset + piece.Count);
        }
    }

    private ChunkPayload Take(NativeVector vector, long offset, long end)
    {
        lock (_gate)
        {
            if (_over is not null)
            {
                throw new InvalidOperationException(_over);
            }

            var payload = ChunkPayload.Rent((int)Math.Min(ShardTable.MaxChunkElements, end - offset));
            vector.Span(offset, payload.Count).CopyTo(payload.Values);
            return payload;
        }
    }

    private void Done(Piece piece)
    {
        lock (_gate)
        {
            _next++;
            piece.Copy?.Dispose();
            piece.Copy = null;
        }
    }

    private void ReserveAll()
    {
        for (var last = _pieces.Count - 1; IsWanted(last); last--)
        {
            NativeVector memory;
            try
            {
                memory = new NativeVector(_pieces[last].Count);
            }
            catch (OutOfMemoryException)
            {
                return;
            }

            lock (_gate)
            {
                if (!IsWanted(last))
                {
                    memory.Dispose();
                    return;
                }

                _pieces[last].Copy = memory;
            }
        }
    }

    private bool IsWanted(int piece)
    {
        lock (_gate)
        {
            return piece > _next && !_isDetached && _over is null;
        }
    }

    private sealed record FeedItem(AppliedOperation Head, ReducedVector? Reduced);

    /// <summary>A part of the state.</summary>
    private sealed class Piece(int index, NativeVector source, long offset, int count)
    {
        public int Index => index;

        public NativeVector Source => source;

        public long Offset => offset;

        public int Count => count;

        /// <summary>Memory for a copy, which holds it once the feed is detached.</summary>
        public NativeVector? Copy { get; set; }
    }
}
