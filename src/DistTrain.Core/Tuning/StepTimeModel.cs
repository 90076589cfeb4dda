namespace DistTrain.Core.Tuning;

/// <summary>
/// How long the steps of a run take on one host, for numbers of workers of which only some were measured. A step is the computing of its slowest worker, what the exchange adds
/// to it, and the update; nothing else is on its way, as descriptors come ahead.
/// </summary>
/// <remarks>
/// <para>Between two measured numbers of workers the time of a sample is taken to grow evenly. More workers than the host has room for take turns, so that each computes for as much longer.</para>
/// <para>
/// The exchange within a host is work of its processors: every one of W ranks sends 2(W-1)/W of the vector and receives as much, so that together they move W - 1 times what two do. A
/// rank whose blocks are not aligned to the tree sends several nodes in place of one, which is half of what travels.
/// </para>
/// </remarks>
public sealed class StepTimeModel
{
    private readonly IReadOnlyList<StepCost> _costs;
    private readonly int _room;

    /// <summary>A model of one host and one run.</summary>
    /// <param name="costs">What was measured, at least for 1 worker; where more are asked for, for 2.</param>
    /// <param name="room">How many workers compute at the same time without taking turns, at least 1.</param>
    public StepTimeModel(IEnumerable<StepCost> costs, int room)
    {
        _costs = [.. costs.OrderBy(c => c.Workers)];
        _room = Math.Max(1, room);
        if (_costs.Count == 0 || _costs[0].Workers != 1)
        {
            throw new ArgumentException("One worker has to be measured.", nameof(costs));
        }
    }

    /// <summary>The time of a step.</summary>
    /// <param name="workers">Members of the run.</param>
    /// <param name="computing">How many of them have blocks.</param>
    /// <param name="samples">Samples of the one with most.</param>
    /// <param name="nodes">Nodes of the one that sends most, at least 1.</param>
    public StepTime Of(int workers, int computing, long samples, int nodes) => new(
        samples * PerSample(computing, c => c.SecondsPerSample),
        Exchange(workers, nodes),
        Turns(workers) * Between(Math.Min(workers, _room), c => c.UpdateSeconds));

    /// <summary>The time of an evaluation.</summary>
    /// <param name="workers">Members of the run.</param>
    /// <param name="computing">How many of them have blocks.</param>
    /// <param name="samples">Samples of the one with most.</param>
    public double OfEvaluation(int workers, int computing, long samples) => samples * PerSample(Math.Min(workers, computing), c => c.SecondsPerEvaluated);

    private double PerSample(int computing, Func<StepCost, double> cost) => Turns(computing) * Between(Math.Min(computing, _room), cost);

    private double Turns(int workers) => Math.Max(1.0, (double)workers / _room);

    private double Exchange(int workers, int nodes)
    {
        var measured = _costs[^1];
        if (workers == 1 || measured.Workers == 1)
        {
            return workers == 1 ? _costs[0].ExchangeSeconds : 0;
        }

        // Of two measured neighbours the larger one knows more of how many ranks get in each other's way.
        measured = _costs.LastOrDefault(c => c.Workers > 1 && c.Workers <= workers) ?? measured;
        return measured.ExchangeSeconds * Work(workers) / Work(measured.Workers) * (1 + nodes) / 2;
    }

    /// <summary>What an exchange moves, for each worker that moves it at the same time.</summary>
    private double Work(int workers) => (workers - 1.0) / Math.Min(workers, _room);

    private double Between(int workers, Func<StepCost, double> cost)
    {
        var below = _costs.Last(c => c.Workers <= Math.Max(1, workers));
        var above = _costs.FirstOrDefault(c => c.Workers > workers);
        return above is null || below.Workers >= workers
            ? cost(below)
            : cost(below) + ((cost(above) - cost(below)) * (workers - below.Workers) / (above.Workers - below.Workers));
    }
}
