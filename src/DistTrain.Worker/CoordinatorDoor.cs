using System.Net.Sockets;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Worker;

/// <summary>
/// A worker's way into a run: it says hello until a coordinator lets it in. Every attempt has a channel and a deadline of its own. So the name is resolved anew, as a
/// coordinator that was started again may have another address, and no attempt waits on a connection whose other end has vanished without a word.
/// </summary>
/// <param name="address">The coordinator.</param>
/// <param name="hello">What the worker says of itself. It may need the route to the coordinator, and so fail where its name is not known yet.</param>
/// <param name="isPatient">Whether it waits without a limit.</param>
/// <param name="time">The clock.</param>
/// <param name="waiting">Told in a sentence that the coordinator does not answer, whenever the reason is a new one.</param>
internal sealed class CoordinatorDoor(Uri address, Func<Hello> hello, bool isPatient, TimeProvider time, Action<string> waiting)
{
    /// <summary>Says hello until the coordinator answers.</summary>
    /// <param name="known">The run and the highest term it has heard of; a coordinator of that run and a lower term has been replaced, and is not listened to.</param>
    /// <param name="patience">How long the coordinator may be out of reach, where that has a limit.</param>
    /// <param name="timeouts">The run's, or at the start the default's: how often it is tried.</param>
    /// <param name="holdsState">Whether this worker has a state to offer, for which a run does not wait long.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <exception cref="WorkerException">The coordinator is out of reach.</exception>
    /// <exception cref="RefusedException">It refuses this worker.</exception>
    public async Task<CoordinatorSession> JoinAsync(
        (ulong Run, ulong Term) known, TimeSpan patience, Timeouts timeouts, bool holdsState, CancellationToken cancellation)
    {
        var (began, pause, reason) = (time.GetTimestamp(), TimeSpan.Zero, "no answer");
        using var deadline = new CancellationTokenSource(isPatient ? Timeout.InfiniteTimeSpan : patience, time);
        using var both = CancellationTokenSource.CreateLinkedTokenSource(cancellation, deadline.Token);
        while (true)
        {
            try
            {
                both.Token.ThrowIfCancellationRequested();
                return await KnockAsync(known, timeouts, both.Token);
            }
            catch (Exception e) when (IsOutOfReach(e) && !both.IsCancellationRequested)
            {
                if (reason != (reason = Reason(e)))
                {
                    waiting($"The coordinator at {address} does not answer yet ({reason}); trying {(isPatient ? "until it does" : $"for {Duration.Format(patience)}")}.");
                }

                pause = Redial.Pause(pause, time.GetElapsedTime(began), holdsState, timeouts);
                await Task.Delay(pause, time, both.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception e) when (IsOutOfReach(e) && cancellation.IsCancellationRequested)
            {
                // A name that was not found, or a connection that broke, while this worker was asked to end.
                throw new OperationCanceledException(e.Message, e, cancellation);
            }
            catch (Exception e) when (deadline.IsCancellationRequested && !cancellation.IsCancellationRequested)
            {
                throw new WorkerException(
                    $"The coordinator at {address} was not reached within {Duration.Format(patience)} ({reason}): see that it runs and that the address is right.", e);
            }
            catch (RpcException e) when (!cancellation.IsCancellationRequested)
            {
                throw new WorkerException($"{address} does not answer as a coordinator does: see that the address is right. ({e.Status.Detail})", e);
            }
        }
    }

    /// <summary>One attempt.</summary>
    private async Task<CoordinatorSession> KnockAsync((ulong Run, ulong Term) known, Timeouts timeouts, CancellationToken cancellation)
    {
        using var limit = new CancellationTokenSource(timeouts.StartUpSilence, time);
        using var attempt = CancellationTokenSource.CreateLinkedTokenSource(cancellation, limit.Token);
        var greeting = hello();
        var channel = GrpcDialer.Open(address, timeouts.Link);
        var call = new Protocol.V1.Coordinator.CoordinatorClient(channel).Attend(cancellationToken: CancellationToken.None);
        var session = default(CoordinatorSession);
        try
        {
            await call.RequestStream.WriteAsync(new WorkerMessage { Hello = greeting }, attempt.Token);
            if (!await call.ResponseStream.MoveNext(attempt.Token))
            {
                throw Unavailable("it ended the call without an answer");
            }

            var answer = call.ResponseStream.Current;
            session = answer.BodyCase switch
            {
                CoordinatorMessage.BodyOneofCase.Welcome when answer.Run == known.Run && answer.Term < known.Term =>
                    throw Unavailable($"it is of term {answer.Term}, the run's is {known.Term}"),
                CoordinatorMessage.BodyOneofCase.Welcome => CoordinatorSession.Begin(address, channel, call, answer, time),
                CoordinatorMessage.BodyOneofCase.Refusal =>
                    throw new RefusedException($"The coordinator at {address} refused this worker. {answer.Refusal.Sentence}"),
                CoordinatorMessage.BodyOneofCase.Dismissal => throw (isPatient || answer.Dismissal.MayReturn
                    ? Unavailable(answer.Dismissal.Sentence)
                    : new WorkerException($"The coordinator at {address} sent this worker away: {answer.Dismissal.Sentence}")),
                _ => throw new WorkerException($"The coordinator at {address} answered with {answer.BodyCase}: install the same version on both."),
            };
            return session;
        }
        catch (Exception e) when (e is OperationCanceledException or RpcException && limit.IsCancellationRequested && !cancellation.IsCancellationRequested)
        {
            throw Unavailable($"no answer in {Duration.Format(timeouts.StartUpSilence)}");
        }
        finally
        {
            if (session is null)
            {
                call.Dispose();
                channel.Dispose();
            }
        }
    }

    private static RpcException Unavailable(string why) => new(new Status(StatusCode.Unavailable, why));

    private static bool IsOutOfReach(Exception e) =>
        e is RpcException { StatusCode: StatusCode.Unavailable or StatusCode.Internal or StatusCode.Cancelled } or IOException or InvalidOperationException or SocketException;

    /// <summary>The system's word for what went wrong, without the layers around it.</summary>
    private static string Reason(Exception e) => e switch
    {
        RpcException { Status.DebugException: { } inner } => inner.GetBaseException().Message,
        RpcException rpc => rpc.Status.Detail,
        _ => e.GetBaseException().Message,
    };
}
