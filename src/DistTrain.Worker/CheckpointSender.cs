using Grpc.Core;
using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <summary>
/// Sends the checkpoints that this worker is to write, off the step path and one at a time. One that falls due while another is still being sent is given up, and the
/// coordinator is told: a step must not wait for a disk or a network. Whether a checkpoint arrives the coordinator knows itself.
/// </summary>
/// <param name="state">What is sent.</param>
/// <param name="transfer">The way to the coordinator.</param>
/// <param name="logger">The log.</param>
/// <param name="ended">Ends what is being sent.</param>
internal sealed partial class CheckpointSender(WorkerState state, CheckpointTransfer transfer, ILogger logger, CancellationToken ended) : IAsyncDisposable
{
    private Task _sending = Task.CompletedTask;
    private Task _givingUp = Task.CompletedTask;

    /// <summary>This worker is going to write a checkpoint: the memory for it is taken ahead of the step that waits for it.</summary>
    public void Prepare() => _ = state.SnapshotAsync();

    /// <summary>Takes a copy of the state and begins to send it.</summary>
    /// <param name="step">The step after which it is taken.</param>
    /// <param name="mayWait">Whether nothing is held up by waiting for one that is still being sent.</param>
    public async Task SendAsync(long step, bool mayWait)
    {
        if (!_sending.IsCompleted && !mayWait)
        {
            GiveUp(step, "the one before is still being sent");
            return;
        }

        await _sending;
        StateSnapshot snapshot;
        try
        {
            snapshot = await state.SnapshotAsync();
        }
        catch (OutOfMemoryException e)
        {
            GiveUp(step, $"there is no memory for a copy of the state ({e.Message.TrimEnd('.')})");
            return;
        }

        await state.Compute.RunAsync(snapshot.Take);
        _sending = TryAsync(step, () => transfer.PutAsync(step, snapshot.Layout, snapshot.WeightsHash, snapshot.Vectors, snapshot.Scalars, ended));
    }

    /// <summary>Waits for what is under way, which the end of the session ends.</summary>
    public async ValueTask DisposeAsync()
    {
        await _sending;
        await _givingUp;
    }

    private void GiveUp(long step, string reason)
    {
        Log.CheckpointFailed(logger, step, reason);
        var before = _givingUp;
        _givingUp = TellAsync();

        async Task TellAsync()
        {
            await before;
            await TryAsync(step, () => transfer.GiveUpAsync(step, state.Replica!, ended));
        }
    }

    private async Task TryAsync(long step, Func<Task> send)
    {
        try
        {
            await send();
        }
        catch (Exception e) when (e is RpcException or OperationCanceledException or IOException or InvalidOperationException)
        {
            Log.CheckpointFailed(logger, step, e is RpcException rpc ? rpc.Status.Detail : e.Message);
        }
    }

    private static partial class Log
    {
        [LoggerMessage(6, LogLevel.Warning, "Checkpoint {Step} was not written: {Reason}", EventName = "checkpoint-failed")]
        public static partial void CheckpointFailed(ILogger logger, long step, string reason);
    }
}
