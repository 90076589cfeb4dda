using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using Google.Protobuf;
using Grpc.Core;
using Slot = DistTrain.Protocol.V1.Slot;

namespace DistTrain.Worker;

/// <summary>Moves a state between a worker and its coordinator in bounded, hashed chunks.</summary>
/// <param name="session">The session with the coordinator.</param>
/// <param name="worker">The own id.</param>
internal sealed class CheckpointTransfer(CoordinatorSession session, int worker)
{
    private const int ChunkElements = 1 << 16;

    /// <summary>Sends a state to the coordinator, which has published it when this returns.</summary>
    /// <param name="step">The step after which the state was taken.</param>
    /// <param name="layout">The vectors' layout.</param>
    /// <param name="weightsHash">Hash of the weights.</param>
    /// <param name="state">The vectors; they must not change meanwhile.</param>
    /// <param name="scalars">The optimizer's numbers.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    public async Task PutAsync(
        long step, ParameterLayout layout, string weightsHash, IReadOnlyList<(string Name, NativeVector Vector)> state,
        IReadOnlyDictionary<string, double> scalars, CancellationToken cancellation)
    {
        using var call = session.Client.PutCheckpoint(cancellationToken: cancellation);
        var header = Header(step, layout, weightsHash, state);
        header.Scalars.Add(new Dictionary<string, double>(scalars));
        await call.RequestStream.WriteAsync(Tag(new CheckpointChunk { Header = header }), cancellation);

        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var buffer = new byte[ChunkElements * sizeof(float)];
        for (var index = 0; index < state.Count; index++)
        {
            var vector = state[index].Vector;
            for (var offset = 0L; offset < vector.Count; offset += ChunkElements)
            {
                var data = Copy(vector, offset, buffer);
                hash.AppendData(data.Span);

                // Written to the connection when this returns, so the buffer may be used again: an array for each chunk would have the runtime collect all its memory every few chunks.
                await call.RequestStream.WriteAsync(
                    Tag(new CheckpointChunk { Vector = (uint)index, Offset = offset, Data = UnsafeByteOperations.UnsafeWrap(data) }), cancellation);
            }
        }

        await call.RequestStream.WriteAsync(Tag(new CheckpointChunk { Sha256 = ByteString.CopyFrom(hash.GetHashAndReset()) }), cancellation);
        await call.RequestStream.CompleteAsync();
        await call.ResponseAsync;
    }

    /// <summary>Tells the coordinator that this worker does not send the state after a step, which it was to send.</summary>
    /// <exception cref="RpcException">Always: this is how the coordinator answers.</exception>
    public async Task GiveUpAsync(long step, Replica replica, CancellationToken cancellation)
    {
        using var call = session.Client.PutCheckpoint(cancellationToken: cancellation);
        await call.RequestStream.WriteAsync(Tag(new CheckpointChunk { Header = Header(step, replica.Layout, "", replica.State) }), cancellation);
        await call.RequestStream.WriteAsync(Tag(new CheckpointChunk()), cancellation);
        await call.RequestStream.CompleteAsync();
        await call.ResponseAsync;
    }

    /// <summary>Receives a published state into vectors.</summary>
    /// <param name="step">The step after which it was taken.</param>
    /// <param name="layout">The vectors' layout.</param>
    /// <param name="state">The vectors.</param>
    /// <param name="advanced">Called for every chunk that has come.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <returns>The optimizer's numbers.</returns>
    /// <exception cref="WorkerException">What came is not the announced state.</exception>
    public async Task<IReadOnlyDictionary<string, double>> GetAsync(
        long step, ParameterLayout layout, IReadOnlyList<(string Name, NativeVector Vector)> state, Action advanced, CancellationToken cancellation)
    {
        var (run, term) = session.Tag;
        var request = new GetCheckpointRequest { Run = run, Term = term, Worker = worker, Step = step };
        using var call = session.Client.GetCheckpoint(request, cancellationToken: cancellation);
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        var (received, complete) = (0L, false);
        List<NativeVector>? targets = null;
        var scalars = new Dictionary<string, double>();
        await foreach (var chunk in call.ResponseStream.ReadAllAsync(cancellation))
        {
            advanced();
            if (targets is null)
            {
                targets = Targets(chunk.Header, layout, state);
                scalars = new Dictionary<string, double>(chunk.Header.Scalars);
            }
            else if (chunk.Sha256.Length > 0)
            {
                complete = received == targets.Sum(t => t.Count) && hash.GetHashAndReset().AsSpan().SequenceEqual(chunk.Sha256.Span);
            }
            else
            {
                hash.AppendData(chunk.Data.Span);
                received += Write(chunk, targets);
            }
        }

        if (!complete)
        {
            throw new WorkerException($"Checkpoint {step} did not arrive whole: {received} numbers came, or their SHA-256 differs. Start the worker again.");
        }

        return scalars;
    }

    private static CheckpointHeader Header(
        long step, ParameterLayout layout, string weightsHash, IReadOnlyList<(string Name, NativeVector Vector)> state)
    {
        var header = new CheckpointHeader { Step = step, WeightsHash = weightsHash, Vectors = { state.Select(s => s.Name) } };
        header.Slots.AddRange(layout.Slots.Select(s => new Slot { Name = s.Name, Shape = { s.Shape }, Kind = (int)s.Kind }));
        return header;
    }

    private static Memory<byte> Copy(NativeVector vector, long offset, byte[] buffer)
    {
        var numbers = MemoryMarshal.AsBytes(vector.Span(offset, (int)Math.Min(ChunkElements, vector.Count - offset)));
        numbers.CopyTo(buffer);
        return buffer.AsMemory(0, numbers.Length);
    }

    private static int Write(CheckpointChunk chunk, List<NativeVector> targets)
    {
        var count = chunk.Data.Length / sizeof(float);
        if (chunk.Vector >= targets.Count || chunk.Offset < 0 || chunk.Offset > targets[(int)chunk.Vector].Count - count)
        {
            throw new WorkerException($"A chunk of the checkpoint lies outside vector {chunk.Vector}.");
        }

        var target = targets[(int)chunk.Vector].Span(chunk.Offset, count);
        chunk.Data.Span.CopyTo(MemoryMarshal.AsBytes(target));
        return count;
    }

    private static List<NativeVector> Targets(
        CheckpointHeader? header, ParameterLayout layout, IReadOnlyList<(string Name, NativeVector Vector)> state)
    {
        var sent = new ParameterLayout((header?.Slots ?? []).Select(s => (s.Name, (IReadOnlyList<long>)[.. s.Shape], (SlotKind)s.Kind)));
        if (header is null || sent.Fingerprint != layout.Fingerprint)
        {
            throw new WorkerException("The run's model has other parameters than this worker's: build it from the same code and configuration.");
        }

        return [.. header.Vectors.Select(name => state.FirstOrDefault(s => s.Name == name).Vector
            ?? throw new WorkerException($"The run's optimizer keeps '{name}', this worker's does not: use the same configuration."))];
    }

    private CheckpointChunk Tag(CheckpointChunk chunk)
    {
        (chunk.Run, chunk.Term) = session.Tag;
        chunk.Worker = worker;
        return chunk;
    }
}
