using DistTrain.Core.Health;
using DistTrain.Core.Numerics;
using DistTrain.Protocol;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker.Health;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Worker.Healing;

/// <summary>A joiner's side of <see cref="StateFeed"/>: receives the state of a member, then applies what it applies.</summary>
internal sealed class StateCopy : IDisposable
{
    private readonly Replica _replica;
    private readonly ComputeThread _compute;
    private readonly WorkerVitals _vitals;
    private readonly GrpcChannel _channel;
    private readonly AsyncServerStreamingCall<ChunkFrame<StateChunk>> _call;
    private NativeVector? _reduced;
    private readonly double[] _squares;

    /// <summary>Asks a member.</summary>
    /// <param name="source">Where it is reached.</param>
    /// <param name="request">For which run, and who asks.</param>
    /// <param name="replica">What is written to.</param>
    /// <param name="compute">The replica's thread.</param>
    /// <param name="vitals">Told how the copy gets on.</param>
    /// <param name="connectTimeout">How long the connection may take.</param>
    /// <param name="cancellation">Ends the copy.</param>
    public StateCopy(
        Uri source, HealRequest request, Replica replica, ComputeThread compute, WorkerVitals vitals, TimeSpan connectTimeout, CancellationToken cancellation)
    {
        _replica = replica;
        _compute = compute;
        _vitals = vitals;
        _squares = new double[replica.Layout.Tiles.Count];
        _channel = GrpcDialer.Open(source, connectTimeout);
        _call = _channel.CreateCallInvoker().AsyncServerStreamingCall(PeerContract.Heal, null, new CallOptions(cancellationToken: cancellation), request);
    }

    /// <summary>Receives the copy.</summary>
    /// <param name="overwriting">Called before the first byte of the own state changes.</param>
    /// <param name="cancellation">Ends the copy.</param>
    /// <returns>The last operation it contains.</returns>
    /// <exception cref="WorkerException">It is not of this worker's model.</exception>
    public async Task<ulong> ReceiveAsync(Action overwriting, CancellationToken cancellation)
    {
        var header = (await NextAsync(cancellation)).Head.State ?? throw new WorkerException("The state does not begin with its header.");
        var state = _replica.State;
        if (header.LayoutFingerprint != _replica.Layout.Fingerprint || !header.Vectors.SequenceEqual(state.Select(s => s.Name)))
        {
            throw new WorkerException("The run's model or optimizer is another than this worker's: build it from the same code and configuration.");
        }

        _vitals.Begin(WorkerActivity.Copying);
        overwriting();
        for (var index = 0; index < state.Count; index++)
        {
            await FillAsync(state[index].Vector, index, cancellation);
        }

        _replica.Scalars = new Dictionary<string, double>(header.Scalars);
        await _compute.RunAsync(_replica.StateWasReplaced);
        return _replica.WeightsHash == header.WeightsHash
            ? header.Applied
            : throw new WorkerException($"The state arrived with weights {_replica.WeightsHash}, its source has {header.WeightsHash}.");
    }

    /// <summary>Applies the next operation that the member has applied.</summary>
    /// <returns>Its number.</returns>
    public async Task<ulong> FollowAsync(CancellationToken cancellation)
    {
        _vitals.Begin(WorkerActivity.Following);
        var applied = (await NextAsync(cancellation)).Head.Applied ?? throw new WorkerException("An operation that was applied does not begin with its header.");
        if (applied.IsStep)
        {
            var reduced = _reduced ??= new NativeVector(_replica.Layout.Count);
            _vitals.Begin(WorkerActivity.Copying);
            await FillAsync(reduced, 0, cancellation);
            _vitals.Begin(WorkerActivity.Updating);
            await _compute.RunAsync(() =>
            {
                var tiles = _replica.Layout.Tiles;
                for (var tile = 0; tile < tiles.Count; tile++)
                {
                    _squares[tile] = VectorKernels.SumOfSquares(reduced.Span(tiles.Start(tile), tiles.Length(tile)));
                }

                return _replica.Apply(reduced, Wire.FromWire(applied.Header), _squares, applied.LearningRate, applied.GlobalBatch);
            });
        }

        return applied.Operation;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _call.Dispose();
        _channel.Dispose();
        _reduced?.Dispose();
    }

    private async Task FillAsync(NativeVector vector, int index, CancellationToken cancellation)
    {
        for (var offset = 0L; offset < vector.Count;)
        {
            var (head, payload) = await NextAsync(cancellation);
            using (payload)
            {
                if (head.Vector != index || head.Offset != offset || payload.Count == 0 || payload.Count > vector.Count - offset)
                {
                    throw new WorkerException($"A chunk of vector {head.Vector} at {head.Offset} came where vector {index} at {offset} was due.");
                }

                payload.Values.CopyTo(vector.Span(offset, payload.Count));
                offset += payload.Count;
                _vitals.Advance();
            }
        }
    }

    private async Task<ChunkFrame<StateChunk>> NextAsync(CancellationToken cancellation) =>
        await _call.ResponseStream.MoveNext(cancellation) ? _call.ResponseStream.Current : throw new WorkerException("The source ended the call.");
}
