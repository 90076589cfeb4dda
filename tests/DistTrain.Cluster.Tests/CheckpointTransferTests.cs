using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Core.Layouts;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Native;
using DistTrain.Worker;
using Google.Protobuf;
using Grpc.Core;
using Microsoft.AspNetCore.Builder;
using Microsoft.Extensions.DependencyInjection;

namespace DistTrain.Cluster.Tests;

/// <summary>How a worker sends a state to its coordinator.</summary>
[Collection(AloneInProcess.Name)]
public sealed class CheckpointTransferTests
{
    private const int Elements = 4_000_000;
    private const string Listen = "127.0.0.1:0";

    /// <summary>The coordinator, in the same process, keeps what comes: that is the state once, in arrays of the chunks' size.</summary>
    [Fact]
    public async Task A_state_arrives_as_it_was_and_its_sender_allocates_a_fraction_of_it()
    {
        var receiver = new Receiver();
        await using var server = GrpcListener.Create(Listen, all => all.AddSingleton(receiver), log: new LogBook());
        server.MapGrpcService<Receiver>();
        var address = await GrpcListener.StartAsync(server, Listen, TestContext.Current.CancellationToken);
        await using var session = SilentCoordinator.Admit(new Uri($"http://{address}"));
        using var weights = Numbers(1);
        using var momentum = Numbers(2);

        await SendAsync(session, weights);
        receiver.Data.Clear();
        var before = GC.GetTotalAllocatedBytes(precise: true);
        await SendAsync(session, weights, momentum);
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - before;

        var bytes = 2L * Elements * sizeof(float);
        Assert.Equal([.. Bytes(weights), .. Bytes(momentum)], receiver.Data.SelectMany(d => d.ToByteArray()).ToArray());
        Assert.Equal(receiver.Sha256, SHA256.HashData(receiver.Data.SelectMany(d => d.ToByteArray()).ToArray()));
        Assert.InRange(allocated, bytes, bytes + (bytes / 4));
    }

    private static Task SendAsync(CoordinatorSession session, params NativeVector[] vectors) => new CheckpointTransfer(session, 0).PutAsync(
        3, new ParameterLayout([("p", [Elements], SlotKind.Parameter)]), "", [.. vectors.Select((v, i) => ($"{i}", v))], new Dictionary<string, double>(),
        TestContext.Current.CancellationToken);

    private static NativeVector Numbers(int seed)
    {
        var vector = new NativeVector(Elements);
        new Random(seed).NextBytes(MemoryMarshal.AsBytes(vector.Span(0, Elements)));
        return vector;
    }

    private static byte[] Bytes(NativeVector vector) => MemoryMarshal.AsBytes(vector.Span(0, Elements)).ToArray();

    private sealed class Receiver : Protocol.V1.Coordinator.CoordinatorBase
    {
        public List<ByteString> Data { get; } = [];

        public byte[] Sha256 { get; private set; } = [];

        public override async Task<PutCheckpointReply> PutCheckpoint(IAsyncStreamReader<CheckpointChunk> requests, ServerCallContext context)
        {
            while (await requests.MoveNext(context.CancellationToken))
            {
                Data.Add(requests.Current.Data);
                Sha256 = requests.Current.Sha256.ToByteArray();
            }

            return new PutCheckpointReply();
        }
    }
}
