using System.Diagnostics;
using System.Runtime.InteropServices;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Launching;

/// <summary>
/// When this process is to stop: on a signal, or, under a launcher, when the launcher lets go of standard input. A launcher that is killed lets go
/// as well, so no process of a run outlives it, whatever ends first.
/// </summary>
internal sealed class Supervision : IDisposable
{
    /// <summary>The variable by which a launcher tells its children that it holds their standard input, and how long they may take to stop once it lets go.</summary>
    public const string Variable = "DISTTRAIN_SUPERVISED";

    private readonly CancellationTokenSource _stop = new();
    private readonly List<PosixSignalRegistration> _signals = [];

    /// <summary>Starts watching.</summary>
    /// <param name="supervised">Whether a launcher holds standard input.</param>
    /// <param name="stop">Stops as well.</param>
    public Supervision(bool supervised, CancellationToken stop = default)
    {
        stop.Register(Request);
        On(PosixSignal.SIGTERM, ignore: false);

        // A terminal sends these to the whole process group: the launcher hears them too, and it decides for its children.
        On(PosixSignal.SIGINT, ignore: supervised);
        On(PosixSignal.SIGHUP, ignore: supervised);
        if (supervised)
        {
            var grace = Duration.TryParse(Environment.GetEnvironmentVariable(Variable) ?? "", out var given) ? given : Timeouts.Default.Grace;
            new Thread(() => WatchInput(Console.OpenStandardInput(), grace)) { IsBackground = true, Name = "supervision" }.Start();
        }
    }

    /// <summary>Cancelled when this process is to stop in order.</summary>
    public CancellationToken Stop => _stop.Token;

    /// <inheritdoc/>
    public void Dispose() => _signals.ForEach(s => s.Dispose());

    private void On(PosixSignal signal, bool ignore) => _signals.Add(PosixSignalRegistration.Create(signal, context =>
    {
        // The second time, the system's own manner counts: the process ends at once.
        context.Cancel = ignore || !_stop.IsCancellationRequested;
        if (!ignore)
        {
            Request();
        }
    }));

    /// <summary>Callbacks of the token run elsewhere: none of them can hold up the thread that keeps the grace period.</summary>
    private void Request() => _ = _stop.CancelAsync();

    private void WatchInput(Stream input, TimeSpan grace)
    {
        try
        {
            var ignored = new byte[256];
            while (input.Read(ignored) > 0)
            {
            }
        }
        catch (IOException)
        {
            // A broken standard input says the same as its end.
        }

        Request();

        // This is a background thread: a process that ends in order never sees the end of the wait. Whatever hangs instead could also hang an exit
        // handler, so none is run.
        using var never = new ManualResetEventSlim();
        never.Wait(grace);
        Process.GetCurrentProcess().Kill();
    }
}
