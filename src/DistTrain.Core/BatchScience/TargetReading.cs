namespace DistTrain.Core.BatchScience;

/// <summary>An evaluation of a run.</summary>
/// <param name="Step">After which step.</param>
/// <param name="Samples">Training samples used by then.</param>
/// <param name="Loss">The validation loss; not finite where the run has diverged.</param>
public readonly record struct LossPoint(long Step, long Samples, double Loss);

/// <summary>When a run reached a validation loss: where the line through its evaluations first comes down to it.</summary>
/// <param name="Steps">Steps by then.</param>
/// <param name="Samples">Training samples by then.</param>
/// <param name="Doubt">
/// How far off <paramref name="Samples"/> may be, as a part of it: the standard deviation of a moment that may be anywhere between the two evaluations.
/// </param>
public readonly record struct TargetReading(double Steps, double Samples, double Doubt)
{
    /// <summary>Reads a run.</summary>
    /// <param name="evaluations">Its evaluations, by step; one before the first step says where it began.</param>
    /// <param name="target">The loss.</param>
    /// <returns>The reading; null where the run did not get there. A run whose first evaluation is there already was there at an unknown moment: that evaluation counts.</returns>
    public static TargetReading? Of(IReadOnlyList<LossPoint> evaluations, double target)
    {
        for (var i = 0; i < evaluations.Count; i++)
        {
            var at = evaluations[i];
            if (at.Samples == 0 || !double.IsFinite(at.Loss) || !(at.Loss <= target))
            {
                continue;
            }

            var before = i == 0 ? default : evaluations[i - 1];
            var part = i == 0 || !double.IsFinite(before.Loss) ? 1 : (before.Loss - target) / (before.Loss - at.Loss);
            var samples = before.Samples + (part * (at.Samples - before.Samples));
            return new TargetReading(before.Step + (part * (at.Step - before.Step)), samples, (at.Samples - before.Samples) / Math.Sqrt(12) / samples);
        }

        return null;
    }
}
