using System.Diagnostics;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;

namespace DistTrain.Coordinator;

/// <summary>Adds up what a run has done, for its lines and its summary.</summary>
internal sealed class RunLedger(RunOptions options, TimeProvider time)
{
    private readonly long _started = time.GetTimestamp();
    private readonly SortedSet<string> _hosts = new(StringComparer.Ordinal);
    private StepRecord? _lastStep;
    private EvaluationRecord? _lastEvaluation;
    private long _samples;
    private long _workerBytes;
    private double _stepSeconds;
    private long _epochs;

    /// <summary>Notes a worker's host.</summary>
    public void NoteHost(string host) => _hosts.Add(host);

    /// <summary>The line of a completed step.</summary>
    public StepRecord Step(RunEffect.Record record)
    {
        var (operation, first) = (record.Operation, record.Reports[0]);
        var seconds = record.Reports.Max(r => r.WaitSeconds + r.ComputeSeconds + r.ExchangeSeconds + r.ApplySeconds);
        _samples += operation.Samples.Count;
        _stepSeconds += seconds;
        _epochs = operation.Samples.Epoch + 1;
        NoteMemory(record);
        return _lastStep = new StepRecord(
            operation.Step, operation.Samples.Epoch, PerWeight(first.LossSum, first.Weight), operation.LearningRate, operation.Samples.Count,
            operation.Geometry.Micro, _samples, record.Reports.Count, record.Generation, JsonLines.Finite(first.GradientNorm), first.Skipped,
            first.WeightsHash, Math.Round(seconds * 1000, 3), JsonLines.Finite(Math.Round(operation.Samples.Count / seconds, 1)));
    }

    /// <summary>The line of a completed evaluation.</summary>
    public EvaluationRecord Evaluation(RunEffect.Record record, IReadOnlyList<string> metrics)
    {
        var (operation, first) = (record.Operation, record.Reports[0]);
        NoteMemory(record);
        return _lastEvaluation = new EvaluationRecord(
            operation.Step, operation.Samples.Epoch, operation.Samples.Count, PerWeight(first.LossSum, first.Weight),
            metrics.Zip(first.MetricSums, (name, sum) => (name, sum)).ToDictionary(m => m.name, m => PerWeight(m.sum, first.Weight)), first.WeightsHash);
    }

    /// <summary>The summary of a run that ended.</summary>
    public RunSummary Summary(RunOutcome outcome, RunMachine machine, PublishedCheckpoint? checkpoint)
    {
        using var process = Process.GetCurrentProcess();
        var workers = machine.Generation == 0 ? 0 : options.Workers;
        return new RunSummary
        {
            Status = outcome.Success ? "completed" : "failed",
            Reason = outcome.Sentence,
            Steps = _lastStep?.Step ?? 0,
            Epochs = _epochs,
            Samples = _samples,
            FinalLoss = _lastStep?.Loss,
            Validation = _lastEvaluation is null
                ? null
                : new Dictionary<string, double?>(_lastEvaluation.Metrics)
                {
                    ["loss"] = _lastEvaluation.Loss,
                },
            WeightsHash = _lastStep?.WeightsHash,
            WeightsSha256 = outcome.Success ? checkpoint?.ModelSha256 : null,
            WallSeconds = Math.Round(time.GetElapsedTime(_started).TotalSeconds, 3),
            SamplesPerSecond = _stepSeconds == 0 ? 0 : Math.Round(_samples / _stepSeconds, 1),
            Workers = new RunSummary.WorkerCounts(workers, workers, workers),
            Generations = machine.Generation,
            PeakRssBytes = new RunSummary.PeakMemory(process.PeakWorkingSet64, _workerBytes),
            Hosts = [.. _hosts],
            PromisesSameBits = machine.PromisesSameBits,
            Version = ProgramIdentity.Version,
        };
    }

    private static double? PerWeight(double sum, long weight) => JsonLines.Finite(sum / weight);

    private void NoteMemory(RunEffect.Record record) =>
        _workerBytes = Math.Max(_workerBytes, record.Reports.Max(r => r.ResidentBytes));
}
