using System.Text.Json.Serialization;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;

namespace DistTrain.Coordinator;

/// <summary>
/// The noise scale of a run that measures it: the moments of every step go into its line, the noise scale into that of every <see cref="Every"/>th. A coordinator that starts again has them from the lines.
/// </summary>
/// <param name="seed">Of the intervals.</param>
/// <param name="length">How large the steps of the run are; null as long as that is not known.</param>
internal sealed class StepNoise(ulong seed, Func<RunLength?> length)
{
    /// <summary>Steps from one noise scale to the next: it moves slowly, and its interval takes a tenth of a millisecond.</summary>
    public const int Every = 10;

    private readonly NoiseTrack _track = new(seed);
    private long _step;

    /// <summary>Begins with the steps that are written down, and no others.</summary>
    public void Restore(IEnumerable<StepRecord> steps)
    {
        _track.Clear();
        foreach (var step in steps)
        {
            _track.Add(step.Step, step.Noise?.Moments(step.GlobalBatch), step.PreconditionedNoise?.Moments(step.GlobalBatch));
            _step = step.Step;
        }
    }

    /// <summary>A step's line with what was measured.</summary>
    public StepRecord Complete(StepRecord step, RunEffect.Record record)
    {
        var (operation, report) = (record.Operation, record.Reports[0]);
        var plain = report.Gradients?.Moments(report.Weight, operation.Samples.Count);
        var preconditioned = report.Preconditioned?.Moments(report.Weight, operation.Samples.Count);
        _track.Add(step.Step, plain, preconditioned);
        _track.Trim();
        _step = step.Step;
        var noted = step with { Noise = NoiseRecord.Of(plain), PreconditionedNoise = NoiseRecord.Of(preconditioned) };
        return report.Gradients is not null && step.Step % Every == 0 ? With(noted) : noted;
    }

    /// <summary>What there is to say after the last step; null where nothing is measured.</summary>
    public NoiseReport? Last()
    {
        var (plain, preconditioned) = _track.Of();
        return plain is null ? null : ReportOf(plain, preconditioned);
    }

    private NoiseReport ReportOf(NoiseScale plain, NoiseScale? preconditioned) => NoiseReport.Of(plain, preconditioned, length()!.BatchOf(_step), length()!.DataSize);

    private StepRecord With(StepRecord step)
    {
        var (plain, preconditioned) = _track.Of();
        return plain is null
            ? step
            : step with
            {
                NoiseScale = Resolved(plain)?.Value,
                Noise = step.Noise?.With(Resolved(plain)),
                PreconditionedNoise = step.PreconditionedNoise?.With(Resolved(preconditioned)),
                NoiseReport = ReportOf(plain, preconditioned),
            };
    }

    private static NoiseScale? Resolved(NoiseScale? noise) => noise?.Unresolved is null ? noise : null;
}

/// <summary>What a step's line says of its gradients.</summary>
/// <param name="Trace">S, the trace of the covariance of one sample's gradient, as this step alone tells it.</param>
/// <param name="Square">|G|^2, the square of the true gradient's norm, as this step alone tells it: it may be negative.</param>
/// <param name="Scale">The noise scale of the last steps in samples; none where it was not asked for or is not resolved.</param>
/// <param name="Low">The lower bound of its interval of 95 %.</param>
/// <param name="High">The upper bound.</param>
internal sealed record NoiseRecord(
    double Trace, double Square,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] double? Scale = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] double? Low = null,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] double? High = null)
{
    public GradientMoments Moments(long samples) => new(Trace, Square, samples);

    public static NoiseRecord? Of(GradientMoments? moments) => moments is var (trace, square, _) ? new NoiseRecord(trace, square) : null;

    public NoiseRecord With(NoiseScale? noise) => this with { Scale = noise?.Value, Low = noise?.Low, High = noise?.High };
}

/// <summary>The noise scale, as <c>summary.json</c> has it and people are told.</summary>
/// <param name="Value">In samples; null where it is not resolved.</param>
/// <param name="Low">The lower bound of its interval of 95 %.</param>
/// <param name="High">The upper bound.</param>
/// <param name="Advice">What another global batch would cost and save.</param>
/// <param name="Preconditioned">The same in the space in which the update rule scales gradients, where it does.</param>
internal sealed record NoiseReport(
    double? Value, double? Low, double? High, string Advice,
    [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] NoiseReport? Preconditioned = null)
{
    public static NoiseReport Of(NoiseScale plain, NoiseScale? preconditioned, long batch, long dataSize) =>
        Of(plain, BatchTrade.Advice(plain, batch, dataSize)) with
        {
            Preconditioned = preconditioned is null ? null : Of(preconditioned, BatchTrade.Advice(preconditioned, batch, dataSize, "preconditioned noise scale")),
        };

    private static NoiseReport Of(NoiseScale noise, string advice) =>
        noise.Unresolved is null ? new NoiseReport(noise.Value, noise.Low, noise.High, advice) : new NoiseReport(null, null, null, advice);
}
