using DistTrain.Core.Numerics;

namespace DistTrain.Core.Faults;

/// <summary>
/// Draws what a plan leaves open. Steps are drawn first; then the run is gone through in their order, so that nothing is drawn for a worker that has left, and
/// somebody always stays.
/// </summary>
internal sealed class FaultDraw(ulong seed, int workers)
{
    private const int MostBlocks = 4;

    private readonly List<Slot> _slots = [];

    /// <summary>Adds a fault that is fixed.</summary>
    public void Add(Fault fault) => _slots.Add(new Slot(fault.Step, fault, null));

    /// <summary>Adds faults to be drawn.</summary>
    public void Add(RandomEntry entry)
    {
        var random = new CounterRandom(Hash64.Combine(seed, (ulong)_slots.Count, 1));
        for (var drawn = 0; drawn < entry.Count; drawn++)
        {
            var span = (ulong)(entry.To - entry.From) + 1;
            _slots.Add(new Slot(entry.From + (long)((UInt128)random.NextWord() * span >> 64), null, entry));
        }
    }

    /// <summary>The plan.</summary>
    public FaultPlan Draw()
    {
        var random = new CounterRandom(Hash64.Combine(seed, (ulong)_slots.Count, 2));
        var staying = Enumerable.Range(0, workers).ToList();
        var started = workers;
        var faults = new List<Fault>();
        foreach (var slot in _slots.OrderBy(s => s.Step))
        {
            var fault = (slot.Fixed ?? Choose(slot, staying, ref random)) with { Id = faults.Count + 1 };
            faults.Add(fault);
            if (fault.Kind == FaultKind.Leave)
            {
                staying.Remove(fault.Worker);
            }
            else if (fault.Kind == FaultKind.Join)
            {
                staying.Add(started++);
            }
        }

        return new FaultPlan(seed, faults);
    }

    private static Fault Choose(Slot slot, List<int> staying, ref CounterRandom random)
    {
        var entry = slot.Open!;
        var kind = entry.Named[random.Next(entry.Named.Count)]!.Value;
        if ((kind == FaultKind.Leave && staying.Count <= Math.Max(1, entry.Members)) || (kind == FaultKind.CutLink && staying.Count < 2))
        {
            // The last one neither leaves nor has a link; and as many stay as have to take part, or nothing would happen any more.
            kind = FaultKind.Join;
        }

        // A plan whose own entries have sent everybody away has nobody to draw.
        kind = staying.Count == 0 ? FaultKind.Join : kind;
        var fault = new Fault { Kind = kind, Step = slot.Step, Members = entry.Members };
        var index = random.Next(Math.Max(staying.Count, 1));
        return kind switch
        {
            FaultKind.Kill => fault with { Worker = staying[index], Block = random.Next(MostBlocks + 1) },
            FaultKind.Pause => fault with { Worker = staying[index], For = entry.For },
            FaultKind.Leave => fault with { Worker = staying[index] },
            FaultKind.CutLink => fault with { Worker = staying[index], Peer = staying[(index + 1 + random.Next(staying.Count - 1)) % staying.Count] },

            // It waits for nobody: others may wait for it.
            FaultKind.Join => fault with { Members = 0 },
            _ => fault,
        };
    }

    private sealed record Slot(long Step, Fault? Fixed, RandomEntry? Open);
}
