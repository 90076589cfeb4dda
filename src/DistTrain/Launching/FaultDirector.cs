using System.Text.Json;
using DistTrain.Core.Faults;
using DistTrain.Core.Options;
using DistTrain.Protocol.Faults;

namespace DistTrain.Launching;

/// <summary>
/// The launcher's part of a plan of faults: it knows what has come to pass, so that a process which is started again is told only the rest; lets a stopped worker go on; and
/// says what is due that no process can do to itself. What came to pass is filed in <c>faults.jsonl</c>.
/// </summary>
/// <param name="plan">The plan.</param>
/// <param name="settings">The run.</param>
/// <param name="tell">Tells people: a name and a sentence.</param>
/// <param name="time">The clock.</param>
internal sealed class FaultDirector(FaultPlan plan, LocalRunSettings settings, Action<string, string> tell, TimeProvider time) : IAsyncDisposable
{
    private readonly Lock _gate = new();
    private readonly HashSet<int> _done = [];
    private readonly List<Task> _pauses = [];

    // Not disposed: a process may announce a fault until it has ended.
    private readonly CancellationTokenSource _over = new();

    /// <summary>What the coordinator has still to do to itself.</summary>
    public IReadOnlyList<Fault> LeftOfCoordinator => Left(plan.OfCoordinator);

    /// <summary>What a worker has still to do to itself.</summary>
    public IReadOnlyList<Fault> LeftOfWorker(int number) => Left(plan.OfWorker(number));

    /// <summary>What is due at the launcher, now that a step is completed. The next one is under way then.</summary>
    /// <param name="step">The step.</param>
    /// <param name="members">How many workers took part.</param>
    public IReadOnlyList<Fault> Due(long step, int members)
    {
        var due = Left(plan.OfLauncher).Where(f => f.IsDue(new FaultPoint(step + 1, members, Blocks: 0, IsLast: false))).ToList();
        due.ForEach(f => Note(f, new FaultNotice(f.Id, step + 1, time.GetUtcNow())));
        return due;
    }

    /// <summary>Listens to what a process says: it announces what it does to itself.</summary>
    public void Hear(ChildProcess process, string line)
    {
        if (FaultNotice.Read(line) is not { } notice || plan.Faults.FirstOrDefault(f => f.Id == notice.Fault) is not { } fault)
        {
            return;
        }

        Note(fault, notice);
        if (fault.Kind == FaultKind.Pause)
        {
            lock (_gate)
            {
                _pauses.Add(ContinueAsync(process, fault.For));
            }
        }
    }

    /// <summary>Says which faults never came to pass.</summary>
    public void TellLeft()
    {
        var left = Left(plan.Faults);
        if (left.Count > 0)
        {
            tell("faults-left", $"{left.Count} of the plan's {plan.Faults.Count} faults did not come to pass: {string.Join(", ", left.Select(f => $"{f.Name} at step {f.Step}"))}.");
        }
    }

    /// <summary>Lets everybody go on who is still stopped.</summary>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        Task[] pauses;
        lock (_gate)
        {
            pauses = [.. _pauses];
        }

        await Task.WhenAll(pauses);
    }

    private List<Fault> Left(IEnumerable<Fault> faults)
    {
        lock (_gate)
        {
            return [.. faults.Where(f => !_done.Contains(f.Id))];
        }
    }

    private void Note(Fault fault, FaultNotice notice)
    {
        lock (_gate)
        {
            if (!_done.Add(fault.Id))
            {
                return;
            }

            File(fault, notice);
        }

        settings.OnFault(fault, notice);
        tell("fault", $"Fault {fault.Id} of {plan.Faults.Count} at step {notice.Step}: {Words(fault)}.");
    }

    private void File(Fault fault, FaultNotice notice)
    {
        try
        {
            var line = JsonSerializer.Serialize(new
            {
                time = notice.Time,
                fault = fault.Id,
                kind = fault.Name,
                step = notice.Step,
                planned = fault.Step,
                worker = fault.Worker,
                peer = fault.Peer,
            });
            System.IO.File.AppendAllText(Path.Combine(settings.Folder, "faults.jsonl"), line + "\n");
        }
        catch (IOException)
        {
            // A disk without room takes the line, not the run; the fault is told all the same.
        }
    }

    private async Task ContinueAsync(ChildProcess process, TimeSpan pause)
    {
        try
        {
            await Task.Delay(pause, time, _over.Token);
        }
        catch (OperationCanceledException)
        {
            // The run ends: whoever is stopped must be able to end, too.
        }

        if (!process.Exit.IsCompleted)
        {
            ProcessSignal.Send(process.Id, ProcessSignal.Continue);
        }
    }

    private static string Words(Fault fault) => fault.Kind switch
    {
        FaultKind.Kill => $"worker {fault.Worker} is killed{(fault.Block > 0 ? $" after block {fault.Block}" : "")}",
        FaultKind.Pause => $"worker {fault.Worker} is stopped for {Duration.Format(fault.For)}",
        FaultKind.Leave => $"worker {fault.Worker} is asked to end",
        FaultKind.Join => "one more worker is started",
        FaultKind.CutLink => $"the link between workers {fault.Worker} and {fault.Peer} is cut",
        FaultKind.RestartCoordinator => "the coordinator is killed",
        FaultKind.KillAll => "all workers are killed",
        _ => $"the coordinator's disk has no room for {fault.Steps} steps",
    };
}
