namespace DistTrain.Core.Runs;

/// <summary>What the sums of an evaluation are: one for every metric, and behind them, where samples have classes, how often each class was taken for each.</summary>
/// <param name="Metrics">Names of the sums that are shown divided by the weight.</param>
public sealed record EvaluationForm(IReadOnlyList<string> Metrics)
{
    /// <summary>
    /// Most sums of an evaluation: they travel in the head of a message, 8 bytes each, and a head alone has up to 256 KiB, of which what else is in it takes less than the rest. That is one metric and the
    /// confusions of 178 classes.
    /// </summary>
    public const int MostSums = 32_000;

    /// <summary>The name under which the exponential of the loss is shown.</summary>
    public const string Perplexity = "perplexity";

    /// <summary>The names of the classes that are told apart; empty where confusions are not counted.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>Whether the loss is a negative log-likelihood in nats, whose exponential says among how many equally likely answers the model chooses.</summary>
    public bool HasPerplexity { get; init; }

    /// <summary>How many sums there are.</summary>
    public long Sums => Metrics.Count + ((long)Classes.Count * Classes.Count);

    /// <summary>What is shown beside the loss, by name.</summary>
    /// <param name="loss">Loss per sample or token.</param>
    /// <param name="weight">Samples or tokens that were evaluated.</param>
    /// <param name="sums">The sums, <see cref="Sums"/> of them.</param>
    public IEnumerable<KeyValuePair<string, double>> Values(double loss, long weight, IReadOnlyList<double> sums)
    {
        foreach (var (name, sum) in Metrics.Zip(sums))
        {
            yield return new(name, sum / weight);
        }

        if (HasPerplexity)
        {
            yield return new(Perplexity, Math.Exp(loss));
        }
    }

    /// <summary>How often each class was taken for each; null where that is not counted.</summary>
    /// <param name="sums">The sums, <see cref="Sums"/> of them.</param>
    public ConfusionMatrix? Confusion(IReadOnlyList<double> sums)
    {
        if (Classes.Count == 0)
        {
            return null;
        }

        var counts = Classes.Select((_, row) => Classes.Select((_, column) => (long)sums[Metrics.Count + row * Classes.Count + column]).ToArray()).ToArray();
        return new ConfusionMatrix(Classes, counts);
    }
}
