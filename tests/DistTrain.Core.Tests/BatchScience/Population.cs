using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;

namespace DistTrain.Core.Tests.BatchScience;

/// <summary>
/// Gradients whose distribution is known: normal, around a true gradient, with another variance in every direction. The sum of a block of w samples is drawn at once,
/// w G + sqrt(w) Sigma^(1/2) z, which is what the sum of w samples is distributed like.
/// </summary>
internal sealed class Population
{
    private readonly double[] _gradient;
    private readonly double[] _deviation;

    /// <summary>Variances fall like 1 / (1 + direction); both are scaled to what is asked for.</summary>
    public Population(int dimensions, double trace, double square)
    {
        var variances = Enumerable.Range(0, dimensions).Select(d => 1.0 / (1 + d)).ToArray();
        _deviation = [.. variances.Select(v => Math.Sqrt(v * trace / variances.Sum()))];
        _gradient = [.. variances.Select(_ => Math.Sqrt(square / dimensions))];
    }

    /// <summary>The moments of one step whose blocks have these weights, a sample being so many units of weight.</summary>
    public GradientMoments? Step(IReadOnlyList<int> weights, ref CounterRandom random, int unitsPerSample = 1)
    {
        var (blockSquares, sum, scale) = (0.0, new double[_gradient.Length], Math.Sqrt(unitsPerSample));
        foreach (var weight in weights)
        {
            var square = 0.0;
            for (var d = 0; d < sum.Length; d++)
            {
                var block = (weight * _gradient[d]) + (Math.Sqrt(weight) * scale * _deviation[d] * random.NextNormal());
                square += block * block;
                sum[d] += block;
            }

            blockSquares += weight == 0 ? 0 : square / weight;
        }

        var total = weights.Sum();
        return GradientMoments.Of(blockSquares, sum.Sum(s => s * s), total, weights.Count(w => w > 0), total / unitsPerSample);
    }
}
