using System.Text;
using System.Text.Json;
using DistTrain.Core.Faults;

namespace DistTrain.Protocol.Faults;

/// <summary>
/// Does to its own process what a plan says, when the run has come to that point. It does so by the ways on which such things come by themselves: signals, a broken call, a write
/// that fails. Faults come to pass in their order, one at a point. A process without faults has none of this.
/// </summary>
/// <param name="faults">What is to be done to this process.</param>
/// <param name="time">The clock.</param>
/// <param name="announce">Writes a line that outlives the process.</param>
/// <param name="signal">Sends a signal to this process.</param>
public sealed class FaultInjector(IEnumerable<Fault> faults, TimeProvider time, Action<string> announce, Action<int> signal)
{
    /// <summary>The variable by which a launcher tells a process its faults.</summary>
    public const string Variable = "DISTTRAIN_FAULTS";

    private readonly List<Fault> _left = [.. faults];
    private long _diskFullUntil;
    private long _step;

    /// <summary>Whether the disk is to have no room now.</summary>
    public bool IsDiskFull => Interlocked.Read(ref _step) < Interlocked.Read(ref _diskFullUntil);

    /// <summary>The value of <see cref="Variable"/>.</summary>
    public static string Write(IEnumerable<Fault> faults) => JsonSerializer.Serialize(faults);

    /// <summary>The injector a launcher asks for; null where it asks for none.</summary>
    /// <param name="variable">The value of <see cref="Variable"/>.</param>
    /// <param name="time">The clock.</param>
    public static FaultInjector? OfVariable(string? variable, TimeProvider time) => string.IsNullOrEmpty(variable)
        ? null
        : new FaultInjector(JsonSerializer.Deserialize<List<Fault>>(variable) ?? [], time, WriteAtOnce, s => ProcessSignal.Send(Environment.ProcessId, s));

    /// <summary>The run has come to a point.</summary>
    /// <param name="point">Which.</param>
    /// <param name="cut">Breaks the link to a worker, where there is one; null for a process without links.</param>
    public void Reach(FaultPoint point, Func<int, bool>? cut = null)
    {
        Interlocked.Exchange(ref _step, point.Step);
        foreach (var fault in _left)
        {
            if (fault.IsNear(point) && !fault.IsDue(point))
            {
                // Its block comes in this step; what stands after it waits.
                return;
            }

            if (fault.IsDue(point) && (fault.Kind != FaultKind.CutLink || cut?.Invoke(fault.Peer) == true))
            {
                _left.Remove(fault);
                announce(new FaultNotice(fault.Id, point.Step, time.GetUtcNow()).Write());
                Suffer(fault, point);
                return;
            }
        }
    }

    private void Suffer(Fault fault, FaultPoint point)
    {
        switch (fault.Kind)
        {
            case FaultKind.Kill or FaultKind.RestartCoordinator:
                signal(ProcessSignal.Kill);
                break;
            case FaultKind.Pause:
                signal(ProcessSignal.Stop);
                break;
            case FaultKind.Leave:
                signal(ProcessSignal.Terminate);
                break;
            case FaultKind.FullDisk:
                Interlocked.Exchange(ref _diskFullUntil, point.Step + fault.Steps);
                break;
        }
    }

    /// <summary>
    /// One write to the system, before anything else happens: a buffer would die with the process. It begins a line of its own, whatever another thread was just
    /// writing.
    /// </summary>
    private static void WriteAtOnce(string line)
    {
        using var output = Console.OpenStandardOutput();
        output.Write(Encoding.UTF8.GetBytes($"\n{line}\n"));
    }
}
