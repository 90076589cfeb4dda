using System.Threading.Channels;

namespace DistTrain.Worker;

/// <summary>
/// The one thread on which a worker's tensors live: torch's scopes and grad mode belong to threads, and a block must not share its core with the
/// thread pool's whims.
/// </summary>
internal sealed class ComputeThread : IAsyncDisposable
{
    private readonly Channel<Action> _work = Channel.CreateBounded<Action>(new BoundedChannelOptions(16) { SingleReader = true });
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public ComputeThread()
    {
        var thread = new Thread(Work) { Name = "compute", IsBackground = true };
        thread.Start();
    }

    /// <summary>Runs a function on the thread, after all that were given before it.</summary>
    public async Task<T> RunAsync<T>(Func<T> function)
    {
        var done = new TaskCompletionSource<T>(TaskCreationOptions.RunContinuationsAsynchronously);
        await _work.Writer.WriteAsync(() =>
        {
            try
            {
                done.SetResult(function());
            }
            catch (Exception e)
            {
                done.SetException(e);
            }
        });
        return await done.Task;
    }

    /// <summary>Runs an action on the thread, after all that were given before it.</summary>
    public Task RunAsync(Action action) => RunAsync(() =>
    {
        action();
        return true;
    });

    /// <summary>Ends the thread after the work it was given.</summary>
    public async ValueTask DisposeAsync()
    {
        _work.Writer.TryComplete();
        await _ended.Task;
    }

    private void Work()
    {
        // Blocks here and nowhere else: the thread has no other task.
        while (_work.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
        {
            while (_work.Reader.TryRead(out var action))
            {
                action();
            }
        }

        _ended.SetResult();
    }
}
