using Google.Protobuf;

namespace DistTrain.Protocol.Exchange;

/// <summary>A message whose last field is a chunk of numbers: everything else as protobuf generates it, the numbers beside it.</summary>
/// <typeparam name="THead">The generated message; its <c>data</c> stays empty.</typeparam>
/// <param name="Head">All fields but the numbers.</param>
/// <param name="Payload">The numbers.</param>
public sealed record ChunkFrame<THead>(THead Head, ChunkPayload Payload)
    where THead : IBufferMessage, IMessage<THead>;
