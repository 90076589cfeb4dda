namespace DistTrain.Core.BatchScience;

/// <summary>
/// The gain of AdaScale SGD (T. Johnson et al., arXiv 2007.05105, equation 4): how many steps of a reference batch a step of a larger one is worth. Its rate is the gain
/// times lr(tau), where tau, the sum of all gains before it, takes the place of the step in the schedule; the run is over where tau reaches the steps that the schedule has.
/// </summary>
public static class AdaScale
{
    /// <summary>
    /// r = (sigma^2 + mu^2) / (sigma^2 / s + mu^2), where sigma^2 = S / reference is the variance of a reference batch's gradient, mu^2 = |G|^2 and s = batch / reference.
    /// </summary>
    /// <param name="average">Averages of S and |G|^2 over the last steps. They may be negative, as estimates may; such a one counts as 0.</param>
    /// <param name="reference">The batch that the schedule's rate is right for.</param>
    /// <param name="batch">The batch of the step.</param>
    /// <returns>
    /// Between 1 and s, or s and 1 for a smaller batch: s where noise is all there is, 1 where there is none. Where neither is known, 1: then a step counts as one.
    /// </returns>
    public static double Gain(GradientMoments average, double reference, double batch)
    {
        var (variance, square) = (Math.Max(0, average.Trace) / reference, Math.Max(0, average.Square));
        var gain = (variance + square) / ((variance * reference / batch) + square);
        return double.IsFinite(gain) ? Math.Clamp(gain, Math.Min(1, batch / reference), Math.Max(1, batch / reference)) : 1;
    }
}
