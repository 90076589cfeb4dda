using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Benchmarks.Scale;

/// <summary>
/// A message of the coordinator, read only as far as to tell what it is. Lists over all members are the same bytes for everyone, and a thousand workers in one process decode them
/// once; a real worker is alone on its device, and decodes its own.
/// </summary>
/// <param name="Run">The run's id.</param>
/// <param name="Term">The coordinator's term.</param>
/// <param name="Kind">What it is.</param>
/// <param name="Number">Of a membership its generation, of a plan or an operation its number; else 0.</param>
/// <param name="Bytes">All of it.</param>
internal sealed record Envelope(ulong Run, ulong Term, CoordinatorMessage.BodyOneofCase Kind, ulong Number, byte[] Bytes)
{
    /// <summary>The coordinator's call, with answers as they come from the wire.</summary>
    public static Method<WorkerMessage, Envelope> Attend { get; } = new(
        MethodType.DuplexStreaming,
        Protocol.V1.Coordinator.Descriptor.FullName,
        "Attend",
        Marshallers.Create(message => message.ToByteArray(), WorkerMessage.Parser.ParseFrom),
        Marshallers.Create(_ => [], Read));

    /// <summary>The whole message.</summary>
    public CoordinatorMessage Decode() => CoordinatorMessage.Parser.ParseFrom(Bytes);

    private static Envelope Read(byte[] bytes)
    {
        var input = new CodedInputStream(bytes);
        var (run, term, kind, number) = (0UL, 0UL, CoordinatorMessage.BodyOneofCase.None, 0UL);
        for (var tag = input.ReadTag(); tag != 0; tag = input.ReadTag())
        {
            switch (WireFormat.GetTagFieldNumber(tag))
            {
                case CoordinatorMessage.RunFieldNumber:
                    run = input.ReadFixed64();
                    break;
                case CoordinatorMessage.TermFieldNumber:
                    term = input.ReadUInt64();
                    break;
                case var body:
                    kind = (CoordinatorMessage.BodyOneofCase)body;
                    var end = input.ReadLength() + input.Position;
                    const uint FirstNumber = 1 << 3;
                    var isNumbered = kind is CoordinatorMessage.BodyOneofCase.Membership or CoordinatorMessage.BodyOneofCase.Plan or CoordinatorMessage.BodyOneofCase.Operation;
                    number = isNumbered && input.ReadTag() == FirstNumber ? input.ReadUInt64() : 0;
                    input = new CodedInputStream(bytes, (int)end, bytes.Length - (int)end);
                    break;
            }
        }

        return new Envelope(run, term, kind, number, bytes);
    }
}
