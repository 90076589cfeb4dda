using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Sampling;
using DistTrain.Core.Schedules;

namespace DistTrain.Core.Runs;

/// <summary>Where a run stands: all that is needed to know what comes next.</summary>
/// <param name="NextOperation">The number of the operation that comes next.</param>
/// <param name="Steps">Steps handed out.</param>
/// <param name="Samples">Samples of those steps.</param>
/// <param name="LastStepSamples">Samples of the last of those steps.</param>
/// <param name="Cursor">The next position in the data.</param>
/// <param name="EvaluatedStep">The step after which was last evaluated; 0 for none.</param>
public sealed record CoursePosition(
    ulong NextOperation, long Steps, long Samples, long LastStepSamples, EpochCursor Cursor, long EvaluatedStep)
{
    /// <summary>Before the first step.</summary>
    public static CoursePosition Start { get; } = new(1, 0, 0, 0, default, 0);
}

/// <summary>
/// The sequence of a run's operations, a pure function of its configuration and the sizes of its data: which samples each step takes, its
/// learning rate, and where evaluations and checkpoints fall.
/// </summary>
public sealed class RunCourse
{
    private readonly RunOptions _options;
    private readonly LearningRateSchedule _schedule;
    private readonly BatchScaling _scaling;
    private readonly GeometrySchedule _geometry;
    private readonly IReadOnlyList<RunDecision> _decisions;

    /// <summary>The course of a run.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="trainingSamples">Samples in the training data, at least 1.</param>
    /// <param name="validationSamples">Samples in the validation data; 0 for none, then nothing is evaluated.</param>
    /// <param name="geometry">How the operations are cut up; null for what the configuration says.</param>
    public RunCourse(RunOptions options, long trainingSamples, long validationSamples, GeometrySchedule? geometry = null)
        : this(options, trainingSamples, validationSamples, geometry ?? options.Geometries, [], AdaScaleProgress.Of(options, trainingSamples))
    {
    }

    private RunCourse(
        RunOptions options, long trainingSamples, long validationSamples, GeometrySchedule geometry, IReadOnlyList<RunDecision> decisions, AdaScaleProgress? progress)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(trainingSamples, 1);
        var planned = BatchSchedule.LengthOf(options, trainingSamples);
        (_options, _geometry, _decisions) = (options, geometry, decisions);
        (TrainingSamples, ValidationSamples, Progress) = (trainingSamples, validationSamples, progress);

        // The rate is that of the run as it was planned: what is decided on the way does not move it.
        _schedule = progress?.Schedule ?? planned.Schedule(options);
        _scaling = new BatchScaling(options, trainingSamples);
        Length = decisions.Where(d => !d.EndsRun).Aggregate(planned, (length, d) => length.FromStep(d.From - 1, d.Batch));
        TotalSteps = Length.Steps(progress?.Limits(options.Stop) ?? options.Stop);
        EndsBy = decisions.FirstOrDefault(d => d.EndsRun && d.From <= TotalSteps);
        TotalSteps = EndsBy is null ? TotalSteps : EndsBy.From - 1;
        TotalSamples = Length.SamplesOf(TotalSteps);
    }

    /// <summary>How large its steps are.</summary>
    public RunLength Length { get; }

    /// <summary>Samples of one epoch.</summary>
    public long TrainingSamples { get; }

    /// <summary>Samples of an evaluation; 0 where nothing is evaluated.</summary>
    public long ValidationSamples { get; }

    /// <summary>How far it has come, where the rate follows a gain that is measured; else null.</summary>
    public AdaScaleProgress? Progress { get; }

    /// <summary>Steps of the whole run; where it ends by its progress, the most, until that is decided.</summary>
    public long TotalSteps { get; }

    /// <summary>The same as far as can be said by now, where the run ends by its progress.</summary>
    public long ExpectedSteps => Progress is null || EndsBy is not null ? TotalSteps : Math.Min(TotalSteps, Length.StepsTo(Progress.ExpectedSamples(Length)));

    /// <summary>Samples of the whole run.</summary>
    public long TotalSamples { get; }

    /// <summary>
    /// The numbers of blocks that occur: of a full step, of an epoch's last step, and of an evaluation, those of one geometry first. In an epoch within which the global batch changes, the last
    /// step may have another.
    /// </summary>
    public IReadOnlyList<int> BlockCounts(BatchGeometry first)
    {
        var rest = TrainingSamples % first.Global;
        long[] samples = [Math.Min(first.Global, TrainingSamples), rest, ValidationSamples];
        return [.. _geometry.All.Prepend(first).SelectMany(g => samples.Where(n => n > 0).Select(n => new BatchPlan(n, g).Blocks)).Distinct()];
    }

    /// <summary>How the operations are cut up.</summary>
    public GeometrySchedule Geometries => _geometry;

    /// <summary>How an operation is cut up.</summary>
    public BatchGeometry GeometryOf(Operation operation) => GeometryOf(operation.Kind, operation.Step);

    /// <summary>What the update rule goes by in a step, in closed form.</summary>
    /// <param name="step">The step, from 1.</param>
    public StepHyperparameters HyperparametersOf(long step)
    {
        var batch = Length.BatchOf(step);
        return _scaling.Of(RateOf(step, Length.SamplesOf(step - 1), Length.SamplesOfStep(step), batch), batch);
    }

    /// <summary>The same course, cut up otherwise from an operation on. What was decided from that and later operations is not decided any more.</summary>
    public RunCourse With(GeometryChange change) =>
        new(_options, TrainingSamples, ValidationSamples, _geometry.With(change), [.. _decisions.Where(d => d.IsBefore(change))], Progress);

    /// <summary>The same course until a decision takes effect.</summary>
    /// <param name="decision">The decision, made from what comes behind all that others were made from.</param>
    public RunCourse With(RunDecision decision) => new(_options, TrainingSamples, ValidationSamples, _geometry, [.. _decisions, decision], Progress);

    /// <summary>The same course by what an operation showed, where the rate follows it. To be told of every step, in order.</summary>
    public RunCourse With(OperationEvidence shown) => Progress is null || shown.Kind != OperationKind.Train
        ? this
        : new(_options, TrainingSamples, ValidationSamples, _geometry, _decisions, Progress.With(shown.Step, shown.Moments, Length));

    /// <summary>The same where every gain is the largest that there is: the highest rates.</summary>
    public RunCourse WithLargestGain() => new(_options, TrainingSamples, ValidationSamples, _geometry, _decisions, Progress?.WithLargest());

    /// <summary>An operation that was taken up before all was known that its rate follows, by what is known now.</summary>
    public Operation Current(Operation operation) => Progress is null || operation.Kind != OperationKind.Train
        ? operation
        : operation with { LearningRate = HyperparametersOf(operation.Step).Rate, Gain = Progress.GainOf(operation.Step, Length) };

    /// <summary>Whether a decision changes anything: it was not made before, and there is a step it could change.</summary>
    public bool Takes(RunDecision decision) => decision.From <= TotalSteps && !_decisions.Any(d => (d.Kind, d.Step) == (decision.Kind, decision.Step));

    /// <summary>Samples of the largest step that may come.</summary>
    public long LargestBatch => Math.Max(Length.Stages.Max(s => s.Batch), _options.Batch.Schedule.FollowsEvidence ? _options.Batch.Schedule.Most : 0);

    /// <summary>The decision by which the run ends early; null where it does not.</summary>
    public RunDecision? EndsBy { get; }

    /// <summary>What comes next, and where the run stands after it; null when the run is finished.</summary>
    public (Operation Operation, CoursePosition Next)? Next(CoursePosition at)
    {
        if (Peek(at) is not var (operation, next))
        {
            return null;
        }

        return (operation with { IsLast = Peek(next) is null }, next);
    }

    /// <summary>Where the run stands before an operation, from 1 on.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The run ends before it.</exception>
    public CoursePosition Before(ulong operation) => Walk(at => at.NextOperation == operation);

    /// <summary>Where the run stands after a step, before anything is evaluated; after step 0, at its start.</summary>
    /// <exception cref="ArgumentOutOfRangeException">The run ends before it.</exception>
    public CoursePosition AfterStep(long step) => Walk(at => at.Steps == step);

    /// <summary>The number of the first operation that does not come before a step, or before the evaluation after it; where the run ends before, the one after its last.</summary>
    public ulong FirstFrom(OperationKind kind, long step)
    {
        var at = CoursePosition.Start;
        while (Peek(at) is var (operation, next) && GeometrySchedule.Place(operation.Kind, operation.Step).CompareTo(GeometrySchedule.Place(kind, step)) < 0)
        {
            at = next;
        }

        return at.NextOperation;
    }

    private CoursePosition Walk(Func<CoursePosition, bool> isThere)
    {
        var at = CoursePosition.Start;
        while (!isThere(at))
        {
            at = Peek(at) is var (_, next) ? next : throw new ArgumentOutOfRangeException(nameof(isThere), at, "The run ends here.");
        }

        return at;
    }

    private (Operation Operation, CoursePosition Next)? Peek(CoursePosition at)
    {
        if (EvaluationIsDue(at))
        {
            var all = new SampleRange(at.Cursor.Epoch, 0, ValidationSamples);
            return (new Operation(at.NextOperation, OperationKind.Evaluate, at.Steps, all, GeometryOf(OperationKind.Evaluate, at.Steps), 0, false, false),
                at with { NextOperation = at.NextOperation + 1, EvaluatedStep = at.Steps });
        }

        if (at.Steps >= TotalSteps)
        {
            return null;
        }

        var step = at.Steps + 1;
        var geometry = GeometryOf(OperationKind.Train, step);
        var (taken, cursor) = at.Cursor.Take(TrainingSamples, geometry.Global);
        var every = _options.Checkpoint.EverySteps;
        var operation = new Operation(
            at.NextOperation, OperationKind.Train, step, taken, geometry, RateOf(step, at.Samples, taken.Count, geometry.Global),
            WritesCheckpoint: step == TotalSteps || (every > 0 && step % every == 0), IsLast: false)
        {
            Gain = Progress?.GainOf(step, Length),
        };
        return (operation, new CoursePosition(at.NextOperation + 1, step, at.Samples + taken.Count, taken.Count, cursor, at.EvaluatedStep));
    }

    private double RateOf(long step, long samplesBefore, long samples, long batch) => Progress is null
        ? _schedule.RateOf(samplesBefore, samples) * _scaling.RateFactor(batch)
        : Progress.GainOf(step, Length) * _schedule.RateOf(Progress.Before(step, Length), Progress.Of(step, Length));

    private BatchGeometry GeometryOf(OperationKind kind, long step) => _geometry.Of(kind, step) with { Global = Length.BatchOf(step) };

    private bool EvaluationIsDue(CoursePosition at)
    {
        if (at.Steps == 0 || at.EvaluatedStep == at.Steps || ValidationSamples == 0)
        {
            return false;
        }

        var (epochs, steps, samples) = (_options.Evaluate.EveryEpochs, _options.Evaluate.EverySteps, _options.Evaluate.EverySamples);
        return at.Steps >= TotalSteps
            || (epochs > 0 && at.Cursor.Position == 0 && at.Cursor.Epoch % epochs == 0)
            || (steps > 0 && at.Steps % steps == 0)
            || (samples > 0 && at.Samples / samples > (at.Samples - at.LastStepSamples) / samples);
    }
}
