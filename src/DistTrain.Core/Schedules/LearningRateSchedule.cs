namespace DistTrain.Core.Schedules;

/// <summary>The shape of the learning rate after warm-up.</summary>
public enum ScheduleShape
{
    /// <summary>The rate stays.</summary>
    Constant,

    /// <summary>The rate is multiplied by a factor at equal distances (step decay).</summary>
    Step,

    /// <summary>
    /// The rate follows half a cosine from its full value to the final one (I. Loshchilov, F. Hutter, arXiv
    /// 1608.03983).
    /// </summary>
    Cosine,
}

/// <summary>
/// The learning rate as a function of the samples a run has used. Because it counts samples and not steps, changing the
/// global batch does not move it.
/// </summary>
/// <param name="Shape">The shape after warm-up.</param>
/// <param name="Rate">The full rate.</param>
/// <param name="WarmupSamples">
/// Samples over which the rate rises linearly to the full one, in equal increments per step (P. Goyal et al., arXiv
/// 1706.02677); 0 for none.
/// </param>
/// <param name="TotalSamples">Samples of the whole run; the cosine ends there.</param>
/// <param name="StepSamples">
/// Samples between two decays of <see cref="ScheduleShape.Step"/>; below 1 counts as 1.
/// </param>
/// <param name="StepFactor">What each decay multiplies the rate by.</param>
/// <param name="FinalRate">Where the cosine ends.</param>
public sealed record LearningRateSchedule(
    ScheduleShape Shape,
    double Rate,
    long WarmupSamples,
    long TotalSamples,
    long StepSamples,
    double StepFactor,
    double FinalRate)
{
    /// <summary>So many decays the global batch takes the place of: it grows, and the rate stays.</summary>
    public int DecaysLeftToBatch { get; init; }

    /// <summary>How many times larger the batch becomes at the decay after those, which is less than the decay asks: the rate makes up for it. 1 where it stays.</summary>
    public double LastGrowth { get; init; } = 1;

    /// <summary>The rate of one step.</summary>
    /// <param name="samplesBefore">Samples used by all steps before it; a part of one where a step counts for more or less than its samples.</param>
    /// <param name="samples">Samples of this step, above 0.</param>
    /// <remarks>
    /// Warm-up looks at the step's last sample, so that the first step already moves; decay looks at its first, so that
    /// the step after warm-up has the full rate and the last step is not empty.
    /// </remarks>
    public double RateOf(double samplesBefore, double samples)
    {
        var warmed = samplesBefore + samples;
        if (warmed < WarmupSamples)
        {
            return Rate * warmed / WarmupSamples;
        }

        var since = Math.Max(0, samplesBefore - WarmupSamples);
        return Shape switch
        {
            ScheduleShape.Step => Decayed(Math.Floor(since / Math.Max(1, StepSamples)) - DecaysLeftToBatch),
            ScheduleShape.Cosine => FinalRate + (Rate - FinalRate) * (1 + Math.Cos(Math.PI * Progress(since))) / 2,
            _ => Rate,
        };
    }

    private double Decayed(double decays) => decays > 0 ? Rate * Math.Pow(StepFactor, decays) * LastGrowth : Rate;

    private double Progress(double since) =>
        Math.Clamp(since / Math.Max(1, TotalSamples - WarmupSamples), 0, 1);
}
