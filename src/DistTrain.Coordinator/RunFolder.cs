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
    private readonly TimeProvider _time;
    private readonly JsonLines _metrics;
    private readonly JsonLines _workers;
    private readonly JsonLines _plans;
    private readonly JsonLines _reissues;
    private readonly JsonLines _events;
    private readonly JsonLines _evaluations;

    /// <summary>Begins a folder, or goes on with one.</summary>
    /// <exception cref="IOException">The folder cannot be written.</exception>
    public RunFolder(string path, TimeProvider time)
    {
        Path = path;
        _time = time;
        Directory.CreateDirectory(path);
        _metrics = Open("metrics");
        _workers = Open("workers");
        _plans = Open("plans");
        _reissues = Open("reissues");
        _events = Open("events");
        _evaluations = Open("evaluations");

        JsonLines Open(string name) => new(System.IO.Path.Combine(path, $"{name}.jsonl"));
    }

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
    public void Append(Operation operation, IReadOnlyList<OperationReport> reports, ulong? plan)
    {
        for (var rank = 0; rank < reports.Count; rank++)
        {
            var report = reports[rank];
            _workers.Append(new
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
                residentBytes = report.ResidentBytes,
            });
        }
    }

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
    public void Append(string name, string sentence, ulong generation) =>
        _events.Append(new { time = _time.GetUtcNow(), @event = name, generation, sentence });

    /// <summary>Has the system write the lines of all steps and evaluations so far to the disk. May be called while lines are appended.</summary>
    public void FlushSteps()
    {
        _metrics.FlushToDisk();
        _evaluations.FlushToDisk();
    }

    /// <summary>Writes the summary, whole.</summary>
    /// <returns>Its text.</returns>
    public string WriteSummary(RunSummary summary)
    {
        var text = JsonSerializer.Serialize(summary, Indented);
        WriteWhole("summary.json", text + "\n");
        return text;
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

    private void WriteWhole(string name, string text)
    {
        var target = System.IO.Path.Combine(Path, name);
        var temporary = target + ".tmp";
        File.WriteAllText(temporary, text);
        File.Move(temporary, target, overwrite: true);
    }
}
