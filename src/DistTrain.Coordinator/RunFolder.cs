using System.Text;
using System.Text.Json;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Coordinator;

/// <summary>
/// What a run leaves behind, a contract with whoever reads it: fields are only ever added. <c>config.yaml</c>, <c>metrics.jsonl</c> (a line per step),
/// <c>workers.jsonl</c> (a line per worker and operation), <c>plans.jsonl</c>, <c>reissues.jsonl</c> (a line per operation that was handed out again around what was left), <c>events.jsonl</c>, <c>evaluations.jsonl</c>, <c>checkpoints/</c> and, at the
/// end, <c>summary.json</c>.
/// </summary>
internal sealed class RunFolder : IDisposable
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    /// <summary>A line per worker and operation, of which a run can miss some.</summary>
    private const int MostWorkerLinesWaiting = 4096;

    private const int TriesAtEnd = 20;

    private readonly TimeProvider _time;
    private readonly IDisk _disk;
    private readonly JsonLines _metrics;
    private readonly JsonLines _workers;
    private readonly JsonLines _plans;
    private readonly JsonLines _reissues;
    private readonly JsonLines _events;
    private readonly JsonLines _evaluations;
    private bool _isRefusing;
    private long _lost;

    /// <summary>Begins a folder, or goes on with one.</summary>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public RunFolder(string path, TimeProvider time, IDisk? disk = null)
    {
        Path = path;
        _time = time;
        _disk = disk ?? Disk.Instance;
        Directory.CreateDirectory(path);
        _metrics = Open("metrics");
        _workers = Open("workers", MostWorkerLinesWaiting);
        _plans = Open("plans");
        _reissues = Open("reissues");
        _events = Open("events");
        _evaluations = Open("evaluations");

        JsonLines Open(string name, int most = JsonLines.MostWaiting) => new(System.IO.Path.Combine(path, $"{name}.jsonl"), _disk, most);
    }

    private JsonLines[] Files => [_metrics, _workers, _plans, _reissues, _events, _evaluations];

    /// <summary>Where the summary of a run lies.</summary>
    public static string SummaryIn(string path) => System.IO.Path.Combine(path, "summary.json");

    /// <summary>Where it lies.</summary>
    public string Path { get; }

    /// <summary>Writes down a step.</summary>
    public void Append(StepRecord step) => _metrics.Append(step);

    /// <summary>Writes down an evaluation.</summary>
    public void Append(EvaluationRecord evaluation) => _evaluations.Append(evaluation);

    /// <summary>Writes down what each rank spent its time on.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="reports">By rank.</param>
    /// <param name="plan">The plan by which it was last handed out; null where that was before this coordinator started.</param>
    public void Append(Operation operation, IReadOnlyList<OperationReport> reports, ulong? plan) =>
        _workers.Append(reports.Select((report, rank) => new
        {
            operation = operation.Number,
            step = operation.Step,
            kind = KindOf(operation),
            generation = report.Generation,
            plan,
            rank,
            blocks = report.Blocks,
            computeMs = Milliseconds(report.ComputeSeconds),
            exchangeMs = Milliseconds(report.ExchangeSeconds),
            waitMs = Milliseconds(report.WaitSeconds),
            applyMs = Milliseconds(report.ApplySeconds),
            bytesSent = report.BytesSent,
            bytesEarly = report.BytesEarly,
            residentBytes = report.ResidentBytes,
            transports = report.Transports,
        }));

    /// <summary>Writes down a plan.</summary>
    public void Append(RunEffect.SendPlan sent, ulong generation) => _plans.Append(new
    {
        number = sent.Plan.Number,
        generation,
        operation = sent.From,
        secondsPerSample = sent.SecondsPerSample,
        assignments = sent.Plan.Assignments.Select(a => new { blocks = a.Key, ranges = a.Value.Select(r => new[] { r.First, r.End }) }),
    });

    /// <summary>Writes down who contributes what to an operation that was under way when the members changed: blocks that are held already, and blocks that are computed.</summary>
    public void Append(Operation operation, ulong plan, ulong generation, IReadOnlyList<WorkShare> shares)
    {
        var tree = new ReductionTree(operation.Batches.Blocks);
        _reissues.Append(new
        {
            operation = operation.Number,
            step = operation.Step,
            kind = KindOf(operation),
            generation,
            plan,
            blocks = tree.Blocks,
            shares = shares.Select(s => new
            {
                held = s.Held.Select(n => new[] { ReductionTree.FirstBlock(n), tree.EndBlock(n) }),
                computed = s.Compute.Select(r => new[] { r.First, r.End }),
            }),
        });
    }

    /// <summary>Writes down what happened.</summary>
    /// <param name="name">What.</param>
    /// <param name="sentence">The same for people.</param>
    /// <param name="generation">In which generation.</param>
    /// <param name="fields">What programs want to know of it besides.</param>
    public void Append(string name, string sentence, ulong generation, params IEnumerable<(string Name, object Value)> fields)
    {
        var line = new Dictionary<string, object>
        {
            ["time"] = _time.GetUtcNow(),
            ["event"] = name,
            ["generation"] = generation,
            ["sentence"] = sentence,
        };
        foreach (var (field, value) in fields)
        {
            line[field] = value;
        }

        _events.Append(line);
    }

    /// <summary>
    /// Has the system write the lines of all steps and evaluations so far to the disk. May be called while lines are appended. Lines that find no room are not waited
    /// for: training goes on, and they are lost if this process ends before there is any.
    /// </summary>
    public void FlushSteps()
    {
        _metrics.FlushToDisk();
        _evaluations.FlushToDisk();
    }

    /// <summary>
    /// What there is to tell of the disk since it was last asked: that it does not take lines, once, and that it does again. Tries to write what waits.
    /// </summary>
    public (string Name, string Sentence)? TakeNews()
    {
        var refused = Array.Find(Files, f => !f.TryWrite());
        if (refused is not null == _isRefusing)
        {
            return null;
        }

        _isRefusing = !_isRefusing;
        if (refused is null)
        {
            var lost = Files.Sum(f => f.Lost) - _lost;
            _lost += lost;
            return ("disk-back", lost == 0 ? $"All lines of {Path} are written." : $"The lines of {Path} are written, but for {lost:N0} that were too many to wait.");
        }

        return ("disk-full",
            $"{System.IO.Path.Combine(Path, refused.Name)} cannot be written: {refused.Trouble}. Training goes on, and up to "
            + $"{JsonLines.MostWaiting:N0} lines a file wait in memory ({MostWorkerLinesWaiting:N0} of {_workers.Name}), then the oldest go: make room, or let the folder be written.");
    }

    /// <summary>Writes what waits, and the summary, whole. Tries again for a while.</summary>
    /// <param name="summary">Makes the summary; given the lines that are lost for good, in a sentence, or null.</param>
    /// <param name="patience">How long.</param>
    /// <returns>The summary's text, and in a sentence why it is not in the folder; null where it is.</returns>
    public async Task<(string Text, string? Problem)> EndAsync(Func<string?, RunSummary> summary, TimeSpan patience)
    {
        var started = _time.GetTimestamp();
        using var timer = new PeriodicTimer(patience / TriesAtEnd, _time);
        while (true)
        {
            var isOver = _time.GetElapsedTime(started) >= patience;
            var waiting = Files.Where(f => !f.TryWrite()).Select(f => $"{f.Waiting:N0} lines of {f.Name}").ToList();
            if (waiting.Count == 0 || isOver)
            {
                var text = JsonSerializer.Serialize(
                    summary(waiting.Count == 0 ? null : $"{string.Join(", ", waiting)} in {Path} could not be written and are lost."), Indented);
                try
                {
                    Disk.WriteWhole(_disk, SummaryIn(Path), Encoding.UTF8.GetBytes(text + "\n"));
                    return (text, null);
                }
                catch (Exception e) when (isOver && Disk.IsRefusal(e))
                {
                    return (text, $"{SummaryIn(Path)} cannot be written: {Disk.Why(e)}");
                }
                catch (Exception e) when (Disk.IsRefusal(e))
                {
                    // There may be room at the next try.
                }
            }

            await timer.WaitForNextTickAsync();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var file in new[] { _metrics, _workers, _plans, _reissues, _events, _evaluations })
        {
            file.Dispose();
        }
    }

    private static string KindOf(Operation operation) => operation.Kind == OperationKind.Train ? "train" : "evaluate";

    private static double Milliseconds(double seconds) => Math.Round(seconds * 1000, 3);
}
