using System.Buffers;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Protocol.Exchange;

/// <summary>
/// Writes and reads <see cref="ChunkFrame{THead}"/>s so that the bytes on the wire are those of the generated message, but the numbers are copied once
/// instead of three times and nothing large is allocated. It rests on <c>bytes data = 15</c> being the message's last field: protobuf writes
/// fields in order of their numbers, and a message may be written as the concatenation of its parts
/// (https://protobuf.dev/programming-guides/encoding/).
/// </summary>
public static class ChunkMarshaller
{
    /// <summary>The largest message either side accepts; a chunk is below 256 KiB, the rest is its norms.</summary>
    public const int MaxMessageBytes = 1 << 20;

    private const uint DataField = 15;
    private const uint LengthDelimited = 2;
    private const byte DataTag = (byte)((DataField << 3) | LengthDelimited);

    /// <summary>The marshaller for one kind of message.</summary>
    public static Marshaller<ChunkFrame<THead>> For<THead>(MessageParser<THead> parser)
        where THead : IBufferMessage, IMessage<THead> =>
        Marshallers.Create(Write, context => Read(parser, context.PayloadAsReadOnlySequence()));

    /// <summary>Writes a frame.</summary>
    internal static void Write<THead>(ChunkFrame<THead> frame, SerializationContext context)
        where THead : IBufferMessage, IMessage<THead>
    {
        var head = frame.Head.CalculateSize();
        var bytes = frame.Payload.Count * sizeof(float);
        context.SetPayloadLength(head + (bytes == 0 ? 0 : 1 + CodedOutputStream.ComputeLengthSize(bytes) + bytes));
        var writer = context.GetBufferWriter();
        frame.Head.WriteTo(writer);
        if (bytes > 0)
        {
            WriteDataHeader(writer, bytes);
            writer.Write(MemoryMarshal.AsBytes(frame.Payload.Values));
        }

        context.Complete();
    }

    /// <summary>Reads a frame; the payload is rented.</summary>
    /// <exception cref="RpcException">The message is malformed, or larger than any chunk.</exception>
    internal static ChunkFrame<THead> Read<THead>(MessageParser<THead> parser, ReadOnlySequence<byte> message)
        where THead : IBufferMessage, IMessage<THead>
    {
        var (head, data) = Split(message);
        if (data.Length > ShardTable.MaxChunkElements * sizeof(float) || data.Length % sizeof(float) != 0)
        {
            throw Malformed($"it carries {data.Length} bytes of numbers; a chunk is a multiple of 4 and at most {ShardTable.MaxChunkElements * sizeof(float)}");
        }

        try
        {
            return new ChunkFrame<THead>(parser.ParseFrom(head), ChunkPayload.Read(data));
        }
        catch (InvalidProtocolBufferException e)
        {
            throw Malformed(e.Message);
        }
    }

    /// <summary>Cuts a message before its data field.</summary>
    private static (ReadOnlySequence<byte> Head, ReadOnlySequence<byte> Data) Split(ReadOnlySequence<byte> message)
    {
        var reader = new SequenceReader<byte>(message);
        while (!reader.End)
        {
            var start = reader.Position;
            var tag = ReadVarint(ref reader);
            if (tag == DataTag)
            {
                var length = ReadVarint(ref reader);
                if (length != (ulong)reader.Remaining)
                {
                    throw Malformed("its data are not its last field, or are cut short");
                }

                return (message.Slice(0, start), message.Slice(reader.Position));
            }

            var skip = (tag & 7) switch
            {
                0 => SkipVarint(ref reader),
                1 => 8UL,
                LengthDelimited => ReadVarint(ref reader),
                5 => 4UL,
                _ => throw Malformed($"it has a field of wire type {tag & 7}"),
            };
            if (skip > (ulong)reader.Remaining)
            {
                throw Malformed("it is cut short");
            }

            reader.Advance((long)skip);
        }

        return (message, ReadOnlySequence<byte>.Empty);
    }

    private static ulong SkipVarint(ref SequenceReader<byte> reader)
    {
        ReadVarint(ref reader);
        return 0;
    }

    private static ulong ReadVarint(ref SequenceReader<byte> reader)
    {
        var value = 0UL;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (!reader.TryRead(out var part))
            {
                throw Malformed("it is cut short");
            }

            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
            {
                return value;
            }
        }

        throw Malformed("a number in it is longer than 64 bits");
    }

    private static void WriteDataHeader(IBufferWriter<byte> writer, int bytes)
    {
        var span = writer.GetSpan(6);
        var at = 0;
        span[at++] = DataTag;
        for (var left = (uint)bytes; ; left >>= 7)
        {
            if (left < 0x80)
            {
                span[at++] = (byte)left;
                break;
            }

            span[at++] = (byte)(left | 0x80);
        }

        writer.Advance(at);
    }

    private static RpcException Malformed(string what) =>
        new(new Status(StatusCode.InvalidArgument, $"The message is refused: {what}."));
}
