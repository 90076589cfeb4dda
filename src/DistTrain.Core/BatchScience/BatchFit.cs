namespace DistTrain.Core.BatchScience;

/// <summary>What a batch took to get to the target.</summary>
/// <param name="Steps">Steps.</param>
/// <param name="Samples">Training samples; with the steps they tell the mean batch, which is smaller than the global one where an epoch ends with a short step.</param>
/// <param name="Doubt">How far off they may be, as a part of them.</param>
public readonly record struct BatchPoint(double Steps, double Samples, double Doubt)
{
    /// <summary>Samples of a step, in the mean.</summary>
    public double Batch => Samples / Steps;
}

/// <summary>
/// What batches took to get to one validation loss, as the law S(B) = S_min (1 + B_c / B), E(B) = B S(B) = E_min (1 + B / B_c), E_min = B_c S_min (S. McCandlish et al.,
/// arXiv 1812.06162, section 2.3), with intervals of 95 %.
/// </summary>
/// <remarks>
/// Least squares of log S, as what a run takes varies in proportion. For a given u = log B_c the best s = log S_min is a mean, so the sum of squares is known along a line,
/// <code>
/// R(u, s) = R(u) + n (s - s(u))^2,    s(u) = mean of log S_i - log(1 + e^u / B_i)
/// </code>
/// and the region R(u, s) &lt;= R_min + t^2 v is walked along u, with Student's t for n - 2 degrees of freedom (profile likelihood; D. Bates, D. Watts, "Nonlinear regression analysis",
/// 1988, chapter 6). v is the points' own scatter about the law, or the doubt of their readings where that is larger. Bounds are where the region ends: it may not, where all batches are on one side of B_c.
/// It supposes that points err independently of each other; that each batch has the rate that is right for it, the sweep's rates have to see to.
/// </remarks>
public sealed record BatchFit
{
    /// <summary>Points below which nothing is fitted.</summary>
    public const int FewestPoints = 3;

    /// <summary>How far beyond the batches themselves the critical one is looked for, as a factor.</summary>
    private const double Reach = 1e4;

    /// <summary>How far beyond the batches it is told as a value without an interval, as a factor.</summary>
    private const double Near = 10;
    private const double Stride = 0.01;

    /// <summary>Enough to find the least sum of squares, which has no bumps.</summary>
    private const double LongStride = 0.2;

    /// <summary>The 97.5th percentile of Student's t for 1, 2, ... degrees of freedom.</summary>
    private static readonly double[] StudentT =
    [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    ];

    private BatchFit(Estimate critical, Estimate steps, Estimate samples, double scatter, IReadOnlyList<BatchPoint> points) =>
        (CriticalBatch, LeastSteps, LeastSamples, Scatter, Doubt, Points, Smallest, Largest) =
        (critical, steps, samples, scatter, Math.Sqrt(points.Average(p => p.Doubt * p.Doubt)), points.Count, points.Min(p => p.Batch), points.Max(p => p.Batch));

    /// <summary>B_c, the batch with twice the least steps and twice the least samples.</summary>
    public Estimate CriticalBatch { get; private init; }

    /// <summary>S_min.</summary>
    public Estimate LeastSteps { get; private init; }

    /// <summary>E_min.</summary>
    public Estimate LeastSamples { get; private init; }

    /// <summary>How far the points are from the law, as a part: the standard deviation of their logarithms.</summary>
    public double Scatter { get; }

    /// <summary>How far off the points may be as they were read, as a part.</summary>
    public double Doubt { get; }

    /// <summary>How many points there were.</summary>
    public int Points { get; }

    /// <summary>The smallest batch of a point.</summary>
    public double Smallest { get; }

    /// <summary>The largest batch of a point.</summary>
    public double Largest { get; }

    /// <summary>What the interval of the critical batch says.</summary>
    public CriticalBatchFinding Finding => CriticalBatch switch
    {
        { IsBounded: true } => CriticalBatchFinding.Known,
        { High: double.PositiveInfinity, Low: var low } when low >= Largest => CriticalBatchFinding.Above,
        { Low: 0, High: var high } when high <= Smallest => CriticalBatchFinding.Below,
        _ => CriticalBatchFinding.Open,
    };

    /// <summary>
    /// Whether <see cref="CriticalBatch"/> has a value to be told: an interval around it, or the points lie not too far from it. Elsewhere it is hardly more than where the search for it ended.
    /// </summary>
    public bool HasValue => CriticalBatch.IsBounded || (CriticalBatch.Value >= Smallest / Near && CriticalBatch.Value <= Largest * Near);

    /// <summary>What a batch costs by this law.</summary>
    public BatchTrade Trade => new(CriticalBatch.Value);

    /// <summary>S(B).</summary>
    public double Steps(double batch) => LeastSteps.Value * Trade.Steps(batch);

    /// <summary>E(B).</summary>
    public double Samples(double batch) => batch * Steps(batch);

    /// <summary>Fits the law.</summary>
    /// <returns>The fit; null where the points are too few, or of one batch.</returns>
    public static BatchFit? Of(IReadOnlyList<BatchPoint> points)
    {
        if (Walk(points, Stride) is not { } walk)
        {
            return null;
        }

        var (from, to) = (walk[0].Log, walk[^1].Log);
        var best = Refine(points, walk.MinBy(l => l.Squares)!.Log, Stride);
        var freedom = points.Count - 2;
        var scatter = best.Squares / freedom;
        var t = freedom <= StudentT.Length ? StudentT[freedom - 1] : 1.96 + (2.5 / freedom);
        var room = t * t * Math.Max(scatter, points.Average(p => p.Doubt * p.Doubt));
        var inside = walk.Append(best).Where(l => l.Squares <= best.Squares + room)
            .Select(l => (l.Log, l.Steps, Half: Math.Sqrt((best.Squares + room - l.Squares) / points.Count))).ToList();

        // Beyond its end the walk would go on: towards steps that do not depend on the batch, or samples that do not.
        var (opensDown, opensUp) = (inside.Any(l => l.Log <= from), inside.Any(l => l.Log >= to - Stride));
        return new BatchFit(
            Of(best.Log, inside.Min(l => l.Log), inside.Max(l => l.Log), opensDown, opensUp),
            Of(best.Steps, inside.Min(l => l.Steps - l.Half), inside.Max(l => l.Steps + l.Half), opensUp, false),
            Of(best.Steps + best.Log, inside.Min(l => l.Steps + l.Log - l.Half), inside.Max(l => l.Steps + l.Log + l.Half), opensDown, false),
            Math.Sqrt(scatter),
            points);

        static Estimate Of(double value, double low, double high, bool hasNoLow, bool hasNoHigh) =>
            new(Math.Exp(value), hasNoLow ? 0 : Math.Exp(low), hasNoHigh ? double.PositiveInfinity : Math.Exp(high));
    }

    /// <summary>The logarithms of B_c, S_min and E_min by the law that is best for points. Null where they are too few.</summary>
    /// <remarks>Where steps do not depend on the batch B_c and E_min are 0, where samples do not B_c is infinite and S_min is 0.</remarks>
    internal static (double Critical, double Steps, double Samples)? Best(IReadOnlyList<BatchPoint> points)
    {
        if (Walk(points, LongStride) is not { } walk)
        {
            return null;
        }

        var best = walk.MinBy(l => l.Squares)!;
        if (best == walk[0])
        {
            return (double.NegativeInfinity, best.Steps, double.NegativeInfinity);
        }

        if (best == walk[^1])
        {
            return (double.PositiveInfinity, double.NegativeInfinity, best.Steps + best.Log);
        }

        best = Refine(points, best.Log, LongStride);
        return (best.Log, best.Steps, best.Steps + best.Log);
    }

    /// <summary>The same with intervals that contain others, too.</summary>
    internal BatchFit Widened((double Low, double High) critical, (double Low, double High) steps, (double Low, double High) samples)
    {
        return this with { CriticalBatch = Wide(CriticalBatch, critical), LeastSteps = Wide(LeastSteps, steps), LeastSamples = Wide(LeastSamples, samples) };

        static Estimate Wide(Estimate estimate, (double Low, double High) other) =>
            estimate with { Low = Math.Min(estimate.Low, other.Low), High = Math.Max(estimate.High, other.High) };
    }

    /// <summary>The best law for each of many critical batches, by rising batch; null where the points are too few, or of one batch.</summary>
    private static List<Law>? Walk(IReadOnlyList<BatchPoint> points, double stride)
    {
        if (points.Count < FewestPoints || points.Select(p => p.Batch).Distinct().Count() < FewestPoints)
        {
            return null;
        }

        var (from, to) = (Math.Log(points.Min(p => p.Batch) / Reach), Math.Log(points.Max(p => p.Batch) * Reach));
        return [.. Enumerable.Range(0, (int)Math.Ceiling((to - from) / stride) + 1).Select(i => Line(points, from + (i * stride)))];
    }

    /// <summary>The best law with a given critical batch.</summary>
    private static Law Line(IReadOnlyList<BatchPoint> points, double log)
    {
        var critical = Math.Exp(log);
        var steps = points.Select(p => Math.Log(p.Steps) - Math.Log(1 + (critical / p.Batch))).ToList();
        var mean = steps.Average();
        return new Law(log, mean, steps.Sum(s => (s - mean) * (s - mean)));
    }

    /// <summary>By golden section between the neighbours on the walk.</summary>
    private static Law Refine(IReadOnlyList<BatchPoint> points, double log, double stride)
    {
        var (low, high, golden) = (log - stride, log + stride, (Math.Sqrt(5) - 1) / 2);
        while (high - low > 1e-9)
        {
            var (left, right) = (high - (golden * (high - low)), low + (golden * (high - low)));
            (low, high) = Line(points, left).Squares < Line(points, right).Squares ? (low, right) : (left, high);
        }

        return Line(points, (low + high) / 2);
    }

    /// <param name="Log">log B_c.</param>
    /// <param name="Steps">log S_min.</param>
    /// <param name="Squares">The sum of squares.</param>
    private sealed record Law(double Log, double Steps, double Squares);
}
