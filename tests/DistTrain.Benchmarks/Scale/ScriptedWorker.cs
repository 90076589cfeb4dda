using System.Diagnostics;
using System.Security.Cryptography;
using DistTrain.Core.Membership;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using Google.Protobuf;
using Grpc.Core;
using Grpc.Net.Client;

namespace DistTrain.Benchmarks.Scale;

/// <summary>
/// Speaks as a worker does, over a connection of its own, and computes nothing. It links at once, and holds the nodes of the operation that it would be at; what it reports is
/// decided by whoever plays the script.
/// </summary>
/// <param name="number">Its number.</param>
/// <param name="coordinator">Where the coordinator listens.</param>
/// <param name="cast">What all workers know.</param>
internal sealed class ScriptedWorker(int number, Uri coordinator, Cast cast) : IAsyncDisposable
{
    private readonly GrpcChannel _channel = GrpcDialer.Open(coordinator, TimeSpan.FromMinutes(1));
    private readonly SemaphoreSlim _turn = new(1);
    private readonly CancellationTokenSource _gone = new();
    private AsyncDuplexStreamingCall<WorkerMessage, Envelope>? _call;
    private Task _living = Task.CompletedTask;
    private Envelope? _welcome;
    private long? _spokeAt;
    private MemberList _members = MemberList.None;

    /// <summary>Its id, once it is welcome.</summary>
    public int Id { get; private set; }

    /// <summary>Says hello, and does what it is told from then on.</summary>
    public async Task JoinAsync()
    {
        var invoker = _channel.CreateCallInvoker();
        _call = invoker.AsyncDuplexStreamingCall(Envelope.Attend, host: null, new CallOptions(cancellationToken: _gone.Token));
        await _call.RequestStream.WriteAsync(new WorkerMessage
        {
            Hello = Wire.ToWire(new WorkerHello(
                RunMachine.Protocol, ProgramIdentity.Version, number, $"host-{number / 8}", 1000 + number, $"http://10.{number / 256}.{number % 256}.1:5401", "scripted", "")),
        });
        _living = LiveAsync();
    }

    /// <summary>Says something, once it is welcome.</summary>
    public async Task SayAsync(WorkerMessage message)
    {
        if (_welcome is null)
        {
            return;
        }

        (message.Run, message.Term) = (_welcome.Run, _welcome.Term);
        await _turn.WaitAsync();
        try
        {
            await _call!.RequestStream.WriteAsync(message);
            var now = Stopwatch.GetTimestamp();
            cast.NotePause(_spokeAt ?? now, now);
            _spokeAt = now;
        }
        catch (Exception) when (_gone.IsCancellationRequested)
        {
            // It is dead.
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Dies: its connection breaks.</summary>
    public async Task DieAsync()
    {
        await _gone.CancelAsync();
        _channel.Dispose();
    }

    public async ValueTask DisposeAsync()
    {
        await DieAsync();
        await _living;
        _gone.Dispose();
        _turn.Dispose();
    }

    private async Task LiveAsync()
    {
        try
        {
            var generation = 0UL;
            while (await _call!.ResponseStream.MoveNext(_gone.Token))
            {
                var message = _call.ResponseStream.Current;
                generation = message.Kind == CoordinatorMessage.BodyOneofCase.Membership ? message.Number : generation;
                if (message.Kind != CoordinatorMessage.BodyOneofCase.Heartbeat)
                {
                    cast.Milestones.Note(message.Kind, generation, message.Number);
                }

                await HeedAsync(message, generation);
            }

            throw new InvalidOperationException($"Worker {number} was left by its coordinator.");
        }
        catch (Exception) when (_gone.IsCancellationRequested)
        {
            // It is dead.
        }
        catch (Exception e)
        {
            cast.Milestones.Fail(e);
        }
    }

    private async Task HeedAsync(Envelope message, ulong generation)
    {
        switch (message.Kind)
        {
            case CoordinatorMessage.BodyOneofCase.Welcome:
                (_welcome, Id) = (message, message.Decode().Welcome.Worker);
                break;
            case CoordinatorMessage.BodyOneofCase.Prepare:
                await PrepareAsync(message.Decode().Prepare.Build);
                break;
            case CoordinatorMessage.BodyOneofCase.Learn:
                await SayAsync(new WorkerMessage { Told = 1, Prepared = Cast.Proof(cast.Applied) });
                break;
            case CoordinatorMessage.BodyOneofCase.Membership:
                _members = cast.Know(message.Number, _members, () => message.Decode().Membership);
                await SayAsync(new WorkerMessage { Linked = cast.Linked(generation, Id) });
                break;
            case CoordinatorMessage.BodyOneofCase.Plan:
                cast.Know(message.Number, () => message.Decode().Plan);
                break;
            case CoordinatorMessage.BodyOneofCase.Operation:
                cast.Know((generation, message.Number), () => message.Decode().Operation);
                break;
            case CoordinatorMessage.BodyOneofCase.Heartbeat:
                break;
            default:
                throw new InvalidOperationException($"Worker {number} was told: {message.Decode()}");
        }
    }

    private async Task PrepareAsync(bool builds)
    {
        var client = new Protocol.V1.Coordinator.CoordinatorClient(_channel);
        if (builds)
        {
            using var put = client.PutCheckpoint(cancellationToken: _gone.Token);
            foreach (var chunk in Chunks())
            {
                (chunk.Run, chunk.Term, chunk.Worker) = (_welcome!.Run, _welcome.Term, Id);
                await put.RequestStream.WriteAsync(chunk);
            }

            await put.RequestStream.CompleteAsync();
            await put.ResponseAsync;
        }
        else
        {
            using var get = client.GetCheckpoint(
                new GetCheckpointRequest { Run = _welcome!.Run, Term = _welcome.Term, Worker = Id, Step = 0 }, cancellationToken: _gone.Token);
            while (await get.ResponseStream.MoveNext(_gone.Token))
            {
                // The state is of no use to it.
            }
        }

        await SayAsync(new WorkerMessage { Told = 1, Prepared = Cast.Proof(0) });
    }

    /// <summary>A state of a thousand weights.</summary>
    private static IEnumerable<CheckpointChunk> Chunks()
    {
        var weights = new byte[4000];
        yield return new CheckpointChunk
        {
            Header = new CheckpointHeader { WeightsHash = Cast.HashOf(0), Vectors = { "model" }, Slots = { new Slot { Name = "w", Shape = { weights.Length / 4 } } } },
        };
        yield return new CheckpointChunk { Data = ByteString.CopyFrom(weights) };
        yield return new CheckpointChunk { Sha256 = ByteString.CopyFrom(SHA256.HashData(weights)) };
    }
}
