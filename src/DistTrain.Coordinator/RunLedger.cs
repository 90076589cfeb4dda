using System.Diagnostics;
using System.Text.Json;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Core;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;
using DistTrain.Protocol;

namespace DistTrain.Coordinator;

/// <summary>Adds up what a run has done, for its lines and its summary.</summary>
internal sealed class RunLedger(TimeProvider time)
{
    private const int MostFailures = 200;
    private static readonly HashSet<string> FailureEvents = ["checkpoint-failed", "disk", "disk-full", "lines-lost"];

    private readonly long _started = time.GetTimestamp();
    private readonly SortedSet<string> _hosts = new(StringComparer.Ordinal);
    private StepRecord? _lastStep;
    private EvaluationRecord? _lastEvaluation;
    private readonly List<RunSummary.Recovery> _recoveries = [];
    private readonly List<RunSummary.Failure> _failures = [];
    private (long Noticed, string Kind)? _loss;
    private long _samples;
    private long _samplesDone;
    private (int Min, int Max, int Final) _workers;
    private long _workerBytes;
    private double _stepSeconds;
    private long _epochs;

    /// <summary>Notes a worker's host.</summary>
    public void NoteHost(string host) => _hosts.Add(host);

    /// <summary>Notes that this coordinator took over from another: the <c>coordinator</c> was lost.</summary>
    public void NoteRestart() => _loss ??= (time.GetTimestamp(), "coordinator");

    /// <summary>
    /// Notes what began a generation, where that is a loss: a broken <c>connection</c>, <c>silence</c>, the worker's own word of a <c>fault</c>, or a broken
    /// <c>link</c>.
    /// </summary>
    public void NoteLoss(RunEvent cause)
    {
        var kind = cause switch
        {
            RunEvent.Gone => "connection",
            RunEvent.TimePassed => "silence",
            RunEvent.Faulted => "fault",
            RunEvent.LinkBroke => "link",
            _ => null,
        };
        if (kind is not null)
        {
            _loss ??= (time.GetTimestamp(), kind);
        }
    }

    /// <summary>The recovery that a completed operation ends; null where there is none.</summary>
    public RunSummary.Recovery? Recovered(RunEffect.Record record)
    {
        if (_loss is not var (noticed, kind))
        {
            return null;
        }

        _loss = null;
        _recoveries.Add(new RunSummary.Recovery(
            record.Generation, record.Operation.Step, Math.Round(time.GetElapsedTime(noticed).TotalMilliseconds, 1), kind));
        return _recoveries[^1];
    }

    /// <summary>Notes what went wrong, where an event tells of something that did. A run that fails without end keeps its first and last failures.</summary>
    public void NoteFailure(string what, string sentence) => NoteFailure(new RunSummary.Failure(time.GetUtcNow(), what, sentence));

    /// <summary>Notes the size of a generation.</summary>
    public void NoteWorkers(int count) => _workers = (_workers.Max == 0 ? count : Math.Min(_workers.Min, count), Math.Max(_workers.Max, count), count);

    /// <summary>Adds what earlier coordinators of the run wrote down.</summary>
    public void Restore(RecordedLines lines)
    {
        foreach (var step in lines.Steps)
        {
            Add(step);
            NoteWorkers(step.WorldSize);
        }

        _lastEvaluation = lines.Evaluations.LastOrDefault();
        foreach (var happened in lines.Events)
        {
            NoteFailure(new RunSummary.Failure(happened.Time, happened.Event, happened.Sentence));
            if (happened.Event == "recovered")
            {
                _recoveries.Add(new RunSummary.Recovery(happened.Generation, happened.Step, happened.Milliseconds, happened.Kind));
            }
        }
    }

    /// <summary>Adds a step.</summary>
    public void Add(StepRecord step)
    {
        _samplesDone += step.GlobalBatch;
        _samples = step.Samples;
        _stepSeconds += step.StepMs / 1000;
        _epochs = step.Epoch + 1;
        _lastStep = step;
    }

    /// <summary>Adds an evaluation.</summary>
    public void Add(EvaluationRecord evaluation) => _lastEvaluation = evaluation;

    /// <summary>Notes what the workers of an operation took.</summary>
    public void NoteMemory(RunEffect.Record record) =>
        _workerBytes = Math.Max(_workerBytes, record.Reports.Max(r => r.ResidentBytes));

    /// <summary>The line of a completed step.</summary>
    /// <param name="record">The step and its reports.</param>
    /// <param name="samples">Samples of the run up to and with it.</param>
    public static StepRecord LineOf(RunEffect.Record record, long samples)
    {
        var (operation, first) = (record.Operation, record.Reports[0]);
        var seconds = record.Reports.Max(r => r.WaitSeconds + r.ComputeSeconds + r.ExchangeSeconds + r.ApplySeconds);
        return new StepRecord(
            operation.Step, operation.Samples.Epoch, PerWeight(first.LossSum, first.Weight), operation.LearningRate, operation.Samples.Count,
            operation.Geometry.Micro, samples, record.Reports.Count, record.Generation, JsonLines.Finite(first.GradientNorm), first.Skipped,
            first.WeightsHash, Math.Round(seconds * 1000, 3), JsonLines.Finite(Math.Round(operation.Samples.Count / seconds, 1)))
        {
            Gain = operation.Gain,
        };
    }

    /// <summary>The line of a completed evaluation.</summary>
    public static EvaluationRecord LineOf(RunEffect.Record record, EvaluationForm form)
    {
        var (operation, first) = (record.Operation, record.Reports[0]);
        var values = form.Values(first.LossSum / first.Weight, first.Weight, first.MetricSums);
        return new EvaluationRecord(
            operation.Step, operation.Samples.Epoch, operation.Samples.Count, PerWeight(first.LossSum, first.Weight),
            values.ToDictionary(v => v.Key, v => JsonLines.Finite(v.Value)), first.WeightsHash)
        {
            Confusion = form.Confusion(first.MetricSums)?.Counts,
        };
    }

    /// <summary>The summary of a run that ended.</summary>
    public RunSummary Summary(RunOutcome outcome, RunMachine machine, PublishedCheckpoint? checkpoint)
    {
        using var process = Process.GetCurrentProcess();
        return new RunSummary
        {
            Status = JsonNamingPolicy.CamelCase.ConvertName($"{outcome.Status}"),
            Reason = outcome.Sentence,
            Steps = _lastStep?.Step ?? 0,
            Epochs = _epochs,
            Samples = _samples,
            TrainingSamples = machine.Course?.TrainingSamples,
            ValidationSamples = machine.Course?.ValidationSamples,
            MicroBatch = machine.Options.Batch.IsAuto ? null : machine.Options.Batch.Micro,
            FinalLoss = _lastStep?.Loss,
            Validation = _lastEvaluation is null
                ? null
                : new Dictionary<string, double?>(_lastEvaluation.Metrics)
                {
                    ["loss"] = _lastEvaluation.Loss,
                },
            Confusion = _lastEvaluation?.Confusion is { } counts ? new ConfusionMatrix(machine.Evaluation.Classes, counts) : null,
            WeightsHash = _lastStep?.WeightsHash,
            WeightsSha256 = outcome.Success && checkpoint?.Header.Step == _lastStep?.Step ? checkpoint?.ModelSha256 : null,
            WallSeconds = Math.Round(time.GetElapsedTime(_started).TotalSeconds, 3),
            SamplesPerSecond = _stepSeconds == 0 ? 0 : Math.Round(_samplesDone / _stepSeconds, 1),
            MicroBatches = machine.Course?.Geometries.Changes is { Count: > 0 } changes
                ? [.. changes.Select(c => new RunSummary.MicroChange(JsonNamingPolicy.CamelCase.ConvertName($"{c.Kind}"), c.Step, c.Micro))]
                : null,
            Workers = new RunSummary.WorkerCounts(_workers.Min, _workers.Max, _workers.Final),
            Generations = machine.Generation,
            Recoveries = _recoveries,
            Failures = _failures,
            PeakRssBytes = new RunSummary.PeakMemory(process.PeakWorkingSet64, _workerBytes),
            Hosts = [.. _hosts],
            PromisesSameBits = machine.PromisesSameBits,
            Version = ProgramIdentity.Version,
        };
    }

    private void NoteFailure(RunSummary.Failure failure)
    {
        if (!FailureEvents.Contains(failure.What))
        {
            return;
        }

        if (_failures.Count == MostFailures)
        {
            _failures.RemoveAt(MostFailures / 2);
        }

        _failures.Add(failure);
    }

    private static double? PerWeight(double sum, long weight) => JsonLines.Finite(sum / weight);
}
