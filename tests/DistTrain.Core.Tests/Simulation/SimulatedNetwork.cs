namespace DistTrain.Core.Tests.Simulation;

/// <summary>Which processes do not reach each other at the moment. What was sent between them waits, until the cut heals or somebody gives the link up.</summary>
internal sealed class SimulatedNetwork(Scheduler scheduler)
{
    /// <summary>The coordinator's number among the processes; workers count from 0.</summary>
    public const int Coordinator = -1;

    private readonly Dictionary<(int, int), List<Source>> _cuts = [];

    public bool IsCut(int one, int other) => _cuts.Count > 0 && _cuts.ContainsKey(Pair(one, other));

    /// <summary>Holds back what goes over a cut.</summary>
    /// <returns>Whether it does.</returns>
    public bool Holds(Source source, int one, int other)
    {
        if (_cuts.Count == 0 || !_cuts.TryGetValue(Pair(one, other), out var held))
        {
            return false;
        }

        held.Add(source);
        scheduler.Sleep(source);
        return true;
    }

    public void Cut(int one, int other) => _cuts.TryAdd(Pair(one, other), []);

    public void Heal(int one, int other)
    {
        if (_cuts.Remove(Pair(one, other), out var held))
        {
            held.ForEach(scheduler.Wake);
        }
    }

    private static (int, int) Pair(int one, int other) => one < other ? (one, other) : (other, one);
}
