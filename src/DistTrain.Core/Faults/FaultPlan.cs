using System.Text;
using DistTrain.Core.Options;

namespace DistTrain.Core.Faults;

/// <summary>
/// What is done to a run on purpose, in the order of its steps. Random entries are drawn already: the same seed and entries are the same plan.
/// </summary>
/// <param name="Seed">What was drawn with.</param>
/// <param name="Faults">The faults, numbered from 1.</param>
public sealed record FaultPlan(ulong Seed, IReadOnlyList<Fault> Faults)
{
    /// <summary>What a worker does to itself.</summary>
    /// <param name="worker">Its number.</param>
    public IEnumerable<Fault> OfWorker(int worker) =>
        Faults.Where(f => f.Worker == worker && f.Kind is FaultKind.Kill or FaultKind.Pause or FaultKind.Leave or FaultKind.CutLink);

    /// <summary>What the coordinator does to itself.</summary>
    public IEnumerable<Fault> OfCoordinator => Faults.Where(f => f.Kind is FaultKind.RestartCoordinator or FaultKind.FullDisk);

    /// <summary>What whoever launches the run does to it.</summary>
    public IEnumerable<Fault> OfLauncher => Faults.Where(f => f.Kind is FaultKind.Join or FaultKind.KillAll);

    /// <summary>The text of a plan file that repeats this plan without drawing.</summary>
    public string Write()
    {
        var text = new StringBuilder("# what was done to this run on purpose; give it to train --faults to do it again\n");
        text.Append($"seed: {Seed}\n");
        text.Append(Faults.Count == 0 ? "faults: []\n" : "faults:\n");
        foreach (var fault in Faults)
        {
            text.Append($"  - {fault.Name}: {{ {string.Join(", ", Keys(fault))} }}\n");
        }

        return text.ToString();
    }

    private static IEnumerable<string> Keys(Fault fault)
    {
        if (fault.Kind == FaultKind.CutLink)
        {
            yield return $"workers: [{fault.Worker}, {fault.Peer}]";
        }
        else if (fault.Worker >= 0)
        {
            yield return $"worker: {fault.Worker}";
        }

        yield return $"step: {fault.Step}";
        if (fault.Block > 0)
        {
            yield return $"block: {fault.Block}";
        }

        if (fault.Kind == FaultKind.Pause)
        {
            yield return $"for: {Duration.Format(fault.For)}";
        }

        if (fault.Kind == FaultKind.FullDisk)
        {
            yield return $"steps: {fault.Steps}";
        }

        if (fault.Members > 0)
        {
            yield return $"members: {fault.Members}";
        }
    }
}
