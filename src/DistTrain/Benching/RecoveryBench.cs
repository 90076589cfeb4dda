using System.Collections.Concurrent;
using System.Text.Json;
using System.Text.Json.Nodes;
using DistTrain.Core.Faults;
using DistTrain.Launching;
using DistTrain.Protocol.Faults;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Benching;

/// <summary>Trains with a plan of faults until the run has recovered from all of them, and says how long each took.</summary>
/// <param name="settings">The run; its faults are the plan.</param>
/// <param name="progress">Where people are told what happens; null to tell nobody.</param>
/// <param name="time">The clock.</param>
internal sealed class RecoveryBench(LocalRunSettings settings, TextWriter? progress, TimeProvider time) : IRunViewer
{
    /// <summary>More than a process takes to start on a busy machine, and the run to go on after it.</summary>
    private static readonly TimeSpan PatiencePerFault = TimeSpan.FromMinutes(1);

    private readonly Lock _gate = new();
    private readonly List<(Fault Fault, FaultNotice Notice)> _faults = [];
    private readonly List<CompletedStep> _steps = [];
    private readonly List<DateTimeOffset> _returns = [];
    private readonly ConcurrentDictionary<long, byte> _seen = [];
    private readonly CancellationTokenSource _done = new();

    /// <summary>Trains.</summary>
    /// <param name="stop">Ends it early.</param>
    /// <returns>What was measured, and why it is not all, where it is not.</returns>
    public async Task<(RecoveryLog Log, string? Problem)> RunAsync(CancellationToken stop)
    {
        var plan = settings.Faults!;
        using var deadline = new CancellationTokenSource((plan.Faults.Count + 2) * PatiencePerFault, time);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop, deadline.Token, _done.Token);
        var result = await new LocalRun(settings with { OnFault = Note }, this, time).RunAsync(over.Token);
        var log = Log(ComputeTimes(settings.Folder));
        var missing = plan.Faults.Count - log.Faults.Count(f => log.After(f.Fault, f.Notice) is not null);
        return (log, missing == 0 ? null
            : $"{missing} of {plan.Faults.Count} recoveries were not seen: {(stop.IsCancellationRequested ? "the bench was stopped" : deadline.IsCancellationRequested ? "the time was up" : result.Sentence.TrimEnd('.'))}; see {settings.Folder}.");
    }

    /// <inheritdoc/>
    public void Show(V1.RunEvent happened)
    {
        var now = time.GetUtcNow();
        lock (_gate)
        {
            if (happened.Happening is { } happening)
            {
                progress?.WriteLine(happening.Sentence);
                if (happening.Name == "coordinator-back")
                {
                    _returns.Add(now);
                }
            }
            else if (happened.Step is { } step)
            {
                // A stream that is opened anew begins with the newest step.
                if (_seen.TryAdd(step.Step, 0))
                {
                    _steps.Add(new CompletedStep(step.Step, now, step.StepMilliseconds));
                }

                if (_faults.Count == settings.Faults!.Faults.Count && Log(new Dictionary<long, double>()) is var log
                    && _faults.TrueForAll(f => log.After(f.Fault, f.Notice) is not null))
                {
                    _ = _done.CancelAsync();
                }
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private void Note(Fault fault, FaultNotice notice)
    {
        lock (_gate)
        {
            _faults.Add((fault, notice));
        }
    }

    private RecoveryLog Log(IReadOnlyDictionary<long, double> compute) =>
        new() { Faults = [.. _faults], Steps = [.. _steps], Returns = [.. _returns], ComputeMs = compute };

    /// <summary>By step, from the run's folder: the line of a step that was completed after a loss says what was computed again.</summary>
    private static Dictionary<long, double> ComputeTimes(string folder)
    {
        var slowest = new Dictionary<long, double>();
        var file = Path.Combine(folder, "workers.jsonl");
        foreach (var line in File.Exists(file) ? File.ReadLines(file) : [])
        {
            try
            {
                var row = JsonNode.Parse(line)!;
                if ((string)row["kind"]! == "train")
                {
                    var step = (long)row["step"]!;
                    slowest[step] = Math.Max(slowest.GetValueOrDefault(step), (double)row["computeMs"]!);
                }
            }
            catch (JsonException)
            {
                // The last line of a coordinator that was killed may be half a line.
            }
        }

        return slowest;
    }
}
