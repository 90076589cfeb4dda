using System.Text.Json.Nodes;
using DistTrain.Core.Faults;
using DistTrain.Views;

namespace DistTrain.Benching;

/// <summary>What <c>bench recover</c> says: a line per disturbance, then each kind against its limit.</summary>
internal sealed class RecoveryReport
{
    /// <summary>How long the loss of a process may cost.</summary>
    public const double LossMs = 500;

    /// <summary>How long after its return a coordinator may take to complete a step.</summary>
    public const double CoordinatorMs = 2000;

    /// <summary>How long a worker that says nothing may cost.</summary>
    /// <param name="failureDetection">In which time that is noticed.</param>
    public static double SilentMs(TimeSpan failureDetection) => failureDetection.TotalMilliseconds + LossMs;

    private readonly IReadOnlyList<Disturbance> _all;
    private readonly List<Kind> _kinds;
    private readonly double _stepMs;

    /// <summary>A report.</summary>
    /// <param name="log">What was seen.</param>
    /// <param name="failureDetection">In which time a loss is noticed.</param>
    public RecoveryReport(RecoveryLog log, TimeSpan failureDetection)
    {
        _stepMs = log.StepMs;
        _all = [.. log.Faults.Select(f => log.After(f.Fault, f.Notice)).OfType<Disturbance>()];
        _kinds =
        [
            .. new[]
            {
                Of("killed", FaultKind.Kill, LossMs),
                Of("silent", FaultKind.Pause, SilentMs(failureDetection)),
                Of("coordinator", FaultKind.RestartCoordinator, CoordinatorMs),
            }.Where(k => k.Count > 0),
        ];

        Kind Of(string name, FaultKind kind, double limit)
        {
            double[] costs = [.. _all.Where(d => d.Fault.Kind == kind).Select(d => d.CostMs)];
            return new Kind(name, costs.Length, RecoveryLog.Quantile(costs, 0.5), RecoveryLog.Quantile(costs, 0.95), limit);
        }
    }

    /// <summary>Writes it for people.</summary>
    public void Write(TextWriter output)
    {
        var events = new TextTable("disturbance", "step", "until the next step, ms", "step, ms", "recomputed, ms", "cost, ms");
        foreach (var d in _all)
        {
            events.Add(Name(d.Fault), $"{d.Notice.Step}", Ms(d.ElapsedMs), Ms(d.StepMs), Ms(d.RecomputedMs), Ms(d.CostMs));
        }

        events.Write(output);
        output.WriteLine();
        var kinds = new TextTable("kind", "count", "p50, ms", "p95, ms", "limit, ms", "");
        foreach (var kind in _kinds)
        {
            kinds.Add(kind.Name, $"{kind.Count}", Ms(kind.P50), Ms(kind.P95), Ms(kind.Limit), kind.IsWithin ? "within" : "over");
        }

        kinds.Write(output);
        output.WriteLine();
        output.WriteLine("The cost is the time until the next step, less an undisturbed step and what was computed again; of a coordinator, since it listens again.");
    }

    /// <summary>The same for programs.</summary>
    public JsonObject Json() => new()
    {
        ["stepMs"] = Round(_stepMs),
        ["disturbances"] = new JsonArray([.. _all.Select(d => new JsonObject
        {
            ["fault"] = d.Fault.Id,
            ["kind"] = d.Fault.Name,
            ["worker"] = d.Fault.Worker,
            ["step"] = d.Notice.Step,
            ["elapsedMs"] = Round(d.ElapsedMs),
            ["recomputedMs"] = Round(d.RecomputedMs),
            ["costMs"] = Round(d.CostMs),
        })]),
        ["kinds"] = new JsonArray([.. _kinds.Select(k => new JsonObject
        {
            ["kind"] = k.Name,
            ["count"] = k.Count,
            ["p50Ms"] = Round(k.P50),
            ["p95Ms"] = Round(k.P95),
            ["limitMs"] = k.Limit,
            ["within"] = k.IsWithin,
        })]),
    };

    private static string Name(Fault fault) => fault.Kind switch
    {
        FaultKind.Kill => $"worker {fault.Worker} killed{(fault.Block == 0 ? "" : $" after block {fault.Block}")}",
        FaultKind.Pause => $"worker {fault.Worker} silent",
        _ => "coordinator killed",
    };

    private static string Ms(double milliseconds) => $"{milliseconds:0}";

    private static double? Round(double milliseconds) => double.IsFinite(milliseconds) ? Math.Round(milliseconds, 1) : null;

    private sealed record Kind(string Name, int Count, double P50, double P95, double Limit)
    {
        public bool IsWithin => P95 <= Limit;
    }
}
