using System.Net.Sockets;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>Accepts connections, one after the other, until it is over: no fault ends it, and none keeps a processor busy.</summary>
internal static class Acceptor
{
    /// <summary>How long it waits before it tries again: what there was none of, such as handles, others have to give back first.</summary>
    public static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(100);

    /// <summary>Accepts.</summary>
    /// <param name="accept">Waits for the next connection.</param>
    /// <param name="take">Takes it.</param>
    /// <param name="time">The clock.</param>
    /// <param name="over">Ends it.</param>
    public static async Task RunAsync(Func<CancellationToken, ValueTask<Socket>> accept, Action<Socket> take, TimeProvider time, CancellationToken over)
    {
        while (!over.IsCancellationRequested)
        {
            try
            {
                take(await accept(over));
            }
            catch (SocketException e) when (e.SocketErrorCode is SocketError.ConnectionAborted or SocketError.ConnectionReset)
            {
                // That caller has changed its mind.
            }
            catch (SocketException)
            {
                await Task.Delay(Pause, time, over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception e) when (e is OperationCanceledException or ObjectDisposedException)
            {
                return;
            }
        }
    }
}
