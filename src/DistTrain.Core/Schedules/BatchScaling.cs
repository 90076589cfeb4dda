using DistTrain.Core.Options;

namespace DistTrain.Core.Schedules;

/// <summary>How the rate follows the batch.</summary>
public enum ScalingRule
{
    /// <summary>It does not.</summary>
    None,

    /// <summary>By k (P. Goyal et al., arXiv 1706.02677).</summary>
    Linear,

    /// <summary>By the root of k; in Adam and AdamW the betas and epsilon follow, too (S. Malladi et al., arXiv 2205.10287).</summary>
    SquareRoot,

    /// <summary>By the gain of the step, which is measured (<see cref="AdaScaleProgress"/>): no function of the batch alone.</summary>
    AdaScale,
}

/// <summary>What an update rule goes by in one step.</summary>
/// <param name="Rate">The learning rate.</param>
/// <param name="Beta1">Decay of the mean of gradients.</param>
/// <param name="Beta2">Decay of the mean of their squares.</param>
/// <param name="Epsilon">What keeps the division away from zero.</param>
public readonly record struct StepHyperparameters(double Rate, double Beta1, double Beta2, double Epsilon);

/// <summary>
/// The numbers of an update rule in tandem with the global batch: a pure function of the batch of a step, which coordinator and workers compute alike. With k = batch / reference
/// <code>
/// linear               rate * k
/// sqrt                 rate * sqrt(k)
/// sqrt, adam, adamw    beta -> 1 - k (1 - beta) for both betas;   epsilon / sqrt(k)
/// adascale             rate * the gain of the step, between 1 and k, which the coordinator alone knows
/// </code>
/// The first keeps the sum of the rates of an epoch, the second what the noise of an epoch's steps adds up to. Betas decay by samples then, and not by steps. Momentum stays as it is under every rule.
/// </summary>
public sealed class BatchScaling
{
    private readonly ScalingRule _rule;
    private readonly long _reference;
    private readonly long _largest;
    private readonly long _most;
    private readonly OptimizerOptions _optimizer;

    /// <summary>The scaling of a run.</summary>
    /// <param name="options">The configuration, valid.</param>
    /// <param name="dataSize">Samples in the training data: no step has more.</param>
    public BatchScaling(RunOptions options, long dataSize)
    {
        _rule = RuleOf(options.Schedule.Scaling);
        _reference = ReferenceOf(options);
        _largest = LargestOf(options.Batch);
        _most = dataSize;
        _optimizer = options.Optimizer;
    }

    /// <summary>Whether anything follows the batch.</summary>
    public bool IsOn => _rule != ScalingRule.None;

    /// <summary>Whether the betas and epsilon follow the batch.</summary>
    private bool MovesBetas => _rule == ScalingRule.SquareRoot && HasBetas(_optimizer);

    /// <summary>What the schedule's rate is multiplied by; exactly 1 where nothing is scaled.</summary>
    /// <param name="batch">The global batch of the step. The short last step of an epoch has that of the others.</param>
    public double RateFactor(long batch) => RateFactor(_rule, Ratio(batch));

    /// <summary>What a rule multiplies the rate by.</summary>
    /// <param name="rule">The rule.</param>
    /// <param name="ratio">k, how many times the reference the batch is, above 0.</param>
    public static double RateFactor(ScalingRule rule, double ratio) => rule switch
    {
        ScalingRule.Linear => ratio,
        ScalingRule.SquareRoot => Math.Sqrt(ratio),
        _ => 1,
    };

    /// <summary>What the update rule goes by.</summary>
    /// <param name="rate">The rate of the step, as the coordinator sent it: scaled already.</param>
    /// <param name="batch">The global batch of the step.</param>
    public StepHyperparameters Of(double rate, long batch)
    {
        var k = MovesBetas ? Ratio(batch) : 1;
        return k == 1
            ? new StepHyperparameters(rate, _optimizer.Beta1, _optimizer.Beta2, _optimizer.Epsilon)
            : new StepHyperparameters(rate, Scaled(_optimizer.Beta1, k), Scaled(_optimizer.Beta2, k), _optimizer.Epsilon / Math.Sqrt(k));
    }

    /// <summary>What the rule does to a batch, in a sentence without its end; null where nothing is scaled.</summary>
    public string? Describe(long batch)
    {
        if (!IsOn)
        {
            return null;
        }

        if (_rule == ScalingRule.AdaScale)
        {
            return $"{Size()}: rate x 1 to {Number(Ratio(batch))}, by how many steps of the reference a step is worth, as measured until two steps before it; the run ends when its steps are worth "
                + $"those of a run of the reference, after as many samples or up to {Number((double)Math.Min(_largest, _most) / _reference)} times as many";
        }

        var now = Of(RateFactor(batch), batch);
        var text = $"{Size()}: rate x {Number(now.Rate)}";
        return MovesBetas
            ? $"{text}, beta1 {Number(_optimizer.Beta1)} -> {Number(now.Beta1)}, beta2 {Number(_optimizer.Beta2)} -> {Number(now.Beta2)}, epsilon {Number(_optimizer.Epsilon)} -> {Number(now.Epsilon)}"
            : text;

        string Size() => $"a batch of {Math.Min(batch, _most):N0} is {Number(Ratio(batch))} times the reference of {_reference:N0}";

        static string Number(double value) => value.ToString("G4");
    }

    /// <summary>What is wrong with a configuration's rule, for the largest batch that the run may come to.</summary>
    public static IEnumerable<OptionProblem> Problems(RunOptions options)
    {
        var (rule, reference, largest, optimizer) = (RuleOf(options.Schedule.Scaling), ReferenceOf(options), LargestOf(options.Batch), options.Optimizer);
        if (rule != ScalingRule.None && options.Batch.Schedule.Name == BatchScheduleOptions.Decay)
        {
            yield return new OptionProblem(
                "schedule.scaling", options.Schedule.Scaling, "would raise the rate where batch.schedule.name decay grows the batch in place of lowering it; drop one of the two");
        }

        if (rule == ScalingRule.None && options.Schedule.ReferenceBatch > 0)
        {
            yield return new OptionProblem("schedule.referenceBatch", $"{options.Schedule.ReferenceBatch}", "has no effect without a rule; set schedule.scaling to linear, sqrt or adascale, or drop it") { Follows = "schedule.scaling" };
        }

        var k = rule == ScalingRule.SquareRoot && HasBetas(optimizer) ? (double)largest / reference : 1;
        foreach (var (name, beta) in new[] { ("beta1", optimizer.Beta1), ("beta2", optimizer.Beta2) })
        {
            if (k > 1 && k * (1 - beta) >= 1)
            {
                yield return new OptionProblem(
                    $"optimizer.{name}",
                    $"{beta}",
                    $"averages over about {1 / (1 - beta):0.#} steps of {reference} samples, less than one step of {largest}, so that schedule.scaling sqrt cannot keep it; "
                        + $"raise it above {1 - (reference / (double)largest):0.#####}, lower the batch below {reference / (1 - beta):0}, or take scaling linear or none");
            }
        }
    }

    /// <summary>The batch that the configuration's numbers are right for.</summary>
    public static long ReferenceOf(RunOptions options) => options.Schedule.ReferenceBatch > 0 ? options.Schedule.ReferenceBatch : options.Batch.Global;

    /// <summary>The largest batch that a run may come to.</summary>
    internal static long LargestOf(BatchOptions batch) => batch.Schedule.Name switch
    {
        BatchScheduleOptions.InStages => batch.Schedule.Stages.Values.Append(batch.Global).Max(),
        BatchScheduleOptions.Constant or BatchScheduleOptions.Warmup => batch.Global,
        _ => Math.Max(batch.Global, batch.Schedule.Most),
    };

    private static ScalingRule RuleOf(string name) => name switch
    {
        "linear" => ScalingRule.Linear,
        "sqrt" => ScalingRule.SquareRoot,
        AdaScaleProgress.Name => ScalingRule.AdaScale,
        _ => ScalingRule.None,
    };

    private static bool HasBetas(OptimizerOptions optimizer) => optimizer.Name is "adam" or "adamw";

    private static double Scaled(double beta, double k) => 1 - (k * (1 - beta));

    private double Ratio(long batch) => (double)Math.Min(batch, _most) / _reference;
}
