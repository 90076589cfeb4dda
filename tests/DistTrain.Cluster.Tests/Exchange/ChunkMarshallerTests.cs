using System.Buffers;
using System.Runtime.InteropServices;
using CsCheck;
using DistTrain.Core.Layouts;
using DistTrain.Core.Tests;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>On the wire a frame is the generated message: the same bytes out, and any bytes of it back in, however they are cut into segments.</summary>
public sealed class ChunkMarshallerTests
{
    private static readonly Gen<ulong> Number = Gen.OneOf(Gen.Const(0UL), Gen.ULong, Gen.ULong[0, 300]);
    private static readonly Gen<int> Small = Gen.OneOf(Gen.Const(0), Gen.Int[0, 100_000], Gen.Int);
    private static readonly Gen<float[]> Floats = Gen.Int.Select(BitConverter.Int32BitsToSingle).Array[0, 600];

    private static readonly Gen<NodeHeader?> Headers = Gen.Select(Gen.Bool, Gen.Double, Gen.Long, Gen.Double.Array[0, 4]).Select(
        (there, loss, weight, metrics) => there ? new NodeHeader { LossSum = loss, Weight = weight, MetricSums = { metrics } } : null);

    private static readonly Gen<NodeChunk> Nodes = Gen.Select(Number.Array[5], Small.Array[4], Headers).Select((numbers, small, header) => new NodeChunk
    {
        Run = numbers[0],
        Term = numbers[1],
        Generation = numbers[2],
        Operation = numbers[3],
        WeightsHash = numbers[4],
        Rank = small[0],
        Level = small[1],
        Index = small[2],
        Chunk = small[3],
        Header = header,
    });

    private static readonly Gen<ShardChunk> Shards = Gen.Select(Number.Array[4], Small.Array[2], Headers, Gen.Double.Array[0, 600]).Select(
        (numbers, small, header, squares) => new ShardChunk
        {
            Run = numbers[0],
            Term = numbers[1],
            Generation = numbers[2],
            Operation = numbers[3],
            Rank = small[0],
            Chunk = small[1],
            Header = header,
            TileSquares = { squares },
        });

    [Fact]
    public void A_frame_is_written_as_the_generated_message() => Gen.Select(Nodes, Shards, Floats).Always((node, shard, values) =>
    {
        var data = Bytes(values);
        Assert.Equal(new NodeChunk(node) { Data = data }.ToByteArray(), Write(PeerContract.Exchange.RequestMarshaller, node, values));
        Assert.Equal(new ShardChunk(shard) { Data = data }.ToByteArray(), Write(PeerContract.Exchange.ResponseMarshaller, shard, values));
    });

    [Fact]
    public void A_generated_message_is_read_back_however_it_is_cut() => Gen.Select(Nodes, Floats, Gen.Int[0, 3000].Array[0, 20]).Always((node, values, cuts) =>
    {
        var bytes = new NodeChunk(node) { Data = Bytes(values) }.ToByteArray();
        var frame = Read(PeerContract.Exchange.RequestMarshaller, Cut(bytes, cuts));
        using (frame.Payload)
        {
            Assert.Equal(node, frame.Head);
            Assert.True(MemoryMarshal.AsBytes(values.AsSpan()).SequenceEqual(MemoryMarshal.AsBytes(frame.Payload.Values)));
        }
    });

    [Fact]
    public void The_largest_chunk_is_read_and_a_larger_one_is_refused()
    {
        var most = new float[ShardTable.MaxChunkElements];
        using (var payload = Read(PeerContract.Exchange.RequestMarshaller, new(Message(most.Length * 4))).Payload)
        {
            Assert.Equal(most.Length, payload.Count);
        }

        Refused("245764 bytes of numbers", Message((most.Length * 4) + 4));
        Refused("a multiple of 4", Message(7));
    }

    [Fact]
    public void Whatever_the_bytes_they_are_read_or_refused() => Gen.Select(Nodes, Floats, Gen.Int[0, 1 << 20], Gen.Int[0, 6]).Always(sample =>
    {
        var (node, values, at, kind) = sample;
        var bytes = new NodeChunk(node) { Data = Bytes(values) }.ToByteArray();
        var random = new Random(at);
        bytes = kind switch
        {
            0 => bytes[..(at % (bytes.Length + 1))],
            1 => [.. bytes, .. bytes],
            2 => [.. bytes, 1],
            3 => Damaged(bytes, random, 1),
            4 => Damaged(bytes, random, 20),
            5 => Noise(random, at % 200),
            _ => [0x7A, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, .. bytes],
        };
        try
        {
            Read(PeerContract.Exchange.RequestMarshaller, new ReadOnlySequence<byte>(bytes)).Payload.Dispose();
        }
        catch (RpcException e)
        {
            Assert.Equal(StatusCode.InvalidArgument, e.StatusCode);
            Assert.StartsWith("The message is refused: ", e.Status.Detail);
        }
    }, samples: 2000);

    [Fact]
    public void The_pool_keeps_as_many_as_somebody_needs_at_once_and_what_it_turns_away_does_not_make_it_smaller()
    {
        // More at once than the pool keeps, many times over. Other tests may have some of them meanwhile.
        const int Needed = 600;
        ChunkPayload.Keep(Needed);
        List<ChunkPayload> rented = [];
        for (var round = 0; round < 5; round++)
        {
            rented = [.. Enumerable.Range(0, Needed + 200).Select(_ => ChunkPayload.Rent(3))];
            Assert.Equal(rented.Count, rented.Distinct().Count());
            rented.ForEach(payload => payload.Dispose());
        }

        var again = Enumerable.Range(0, Needed - 100).Select(_ => ChunkPayload.Rent(3)).ToList();
        again.ForEach(payload => payload.Dispose());
        Assert.InRange(again.Intersect(rented).Count(), again.Count - 100, again.Count);
    }

    private static byte[] Message(int bytes) => new NodeChunk { Data = ByteString.CopyFrom(new byte[bytes]) }.ToByteArray();

    private static void Refused(string why, byte[] bytes) => Assert.Contains(why, Assert.Throws<RpcException>(
        () => Read(PeerContract.Exchange.RequestMarshaller, new ReadOnlySequence<byte>(bytes))).Status.Detail);

    private static byte[] Damaged(byte[] bytes, Random random, int times)
    {
        for (var i = 0; i < times && bytes.Length > 0; i++)
        {
            bytes[random.Next(Math.Min(bytes.Length, 60))] = (byte)random.Next(256);
        }

        return bytes;
    }

    private static byte[] Noise(Random random, int length)
    {
        var bytes = new byte[length];
        random.NextBytes(bytes);
        return bytes;
    }

    private static ByteString Bytes(float[] values) => ByteString.CopyFrom(MemoryMarshal.AsBytes(values.AsSpan()));

    private static unsafe byte[] Write<THead>(Marshaller<ChunkFrame<THead>> marshaller, THead head, float[] values)
        where THead : IBufferMessage, IMessage<THead>
    {
        var context = new Writing();
        fixed (float* start = values)
        {
            marshaller.ContextualSerializer(new ChunkFrame<THead>(head, ChunkPayload.Over(start, values.Length)), context);
        }

        Assert.Equal(context.Announced, context.Written.WrittenCount);
        return context.Written.WrittenSpan.ToArray();
    }

    private static ChunkFrame<THead> Read<THead>(Marshaller<ChunkFrame<THead>> marshaller, ReadOnlySequence<byte> bytes)
        where THead : IBufferMessage, IMessage<THead> => marshaller.ContextualDeserializer(new Reading(bytes));

    private static ReadOnlySequence<byte> Cut(byte[] bytes, int[] cuts)
    {
        var first = new Segment(ReadOnlyMemory<byte>.Empty, 0);
        var (last, at) = (first, 0);
        foreach (var cut in cuts.Select(c => Math.Min(c, bytes.Length)).Append(bytes.Length).Order())
        {
            last = last.Append(bytes.AsMemory(at, cut - at));
            at = cut;
        }

        return new ReadOnlySequence<byte>(first, 0, last, last.Memory.Length);
    }

    private sealed class Segment : ReadOnlySequenceSegment<byte>
    {
        public Segment(ReadOnlyMemory<byte> memory, long index) => (Memory, RunningIndex) = (memory, index);

        public Segment Append(ReadOnlyMemory<byte> memory)
        {
            var next = new Segment(memory, RunningIndex + Memory.Length);
            Next = next;
            return next;
        }
    }

    private sealed class Writing : SerializationContext
    {
        public ArrayBufferWriter<byte> Written { get; } = new();

        public int Announced { get; private set; }

        public override void SetPayloadLength(int payloadLength) => Announced = payloadLength;

        public override IBufferWriter<byte> GetBufferWriter() => Written;

        public override void Complete()
        {
        }
    }

    private sealed class Reading(ReadOnlySequence<byte> bytes) : DeserializationContext
    {
        public override int PayloadLength => (int)bytes.Length;

        public override byte[] PayloadAsNewBuffer() => bytes.ToArray();

        public override ReadOnlySequence<byte> PayloadAsReadOnlySequence() => bytes;
    }
}
