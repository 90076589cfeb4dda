using DistTrain.Core.Batches;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>Micro-batches that do not fit: all workers halve them, from the first operation on that nobody has applied.</summary>
public sealed class RunMachineMemoryTests
{
    [Fact]
    public void A_micro_batch_that_does_not_fit_is_halved_for_all_and_the_global_batch_stays()
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.OutOfMemory(1, 1, 1, "no memory left"));
        Assert.Equal([2UL], run.Effects.OfType<RunEffect.FormGeneration>().Select(e => e.Generation));
        Assert.Empty(run.Effects.OfType<RunEffect.Issue>());
        Link(run, generation: 2);

        // In the journal before anyone is told.
        Assert.Equal([new JournalEntry.Geometry(new GeometryChange(OperationKind.Train, 1, 8), Since: 2, Operation: 1)], run.Effects.OfType<RunEffect.Write>().Select(e => e.Entry));
        Assert.Single(run.Effects, e => e is RunEffect.Announce { Name: "out-of-memory" });
        var issues = run.Effects.OfType<RunEffect.Issue>().ToList();
        Assert.Equal([(1UL, 25L, new BatchGeometry(25, 8, 64)), (2UL, 25L, new BatchGeometry(25, 8, 64))], issues.Select(i => (i.Operation.Number, i.Operation.Samples.Count, i.Operation.Geometry)));
        Assert.Equal(4, issues[0].Operation.Batches.Blocks);
        var plan = run.Effects.OfType<RunEffect.SendPlan>().Single().Plan;
        Assert.Equal((plan.Number, 4), (issues[0].Plan, plan.Assignments[4].Sum(r => r.Count)));
    }

    [Fact]
    public void Nodes_of_the_larger_micro_batches_are_none_of_the_operation_that_is_cut_up_anew()
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.OutOfMemory(1, 1, 1, "no memory left"));
        run.Handle(new RunEvent.Linked(0, 2, 0, [new NodeId(0, 0)]) { Micro = 16 });
        run.Handle(new RunEvent.Linked(1, 2, 0, []));
        var shares = run.Effects.OfType<RunEffect.Issue>().First().Shares!;
        Assert.All(shares, s => Assert.Empty(s.Held));
        Assert.Equal(4, shares.SelectMany(s => s.Compute).Sum(r => r.Count));
    }

    [Fact]
    public void What_a_member_has_applied_stays_as_it_was()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Handle(new RunEvent.OutOfMemory(0, 1, 2, "no memory left"));
        run.Handle(new RunEvent.Linked(0, 2, 1, []));
        run.Handle(new RunEvent.Linked(1, 2, 0, [new NodeId(0, 1)]) { Micro = 16 });
        var issues = run.Effects.OfType<RunEffect.Issue>().ToList();
        Assert.Equal([(1UL, 16), (2UL, 8)], issues.Select(i => (i.Operation.Number, i.Operation.Geometry.Micro)));
    }

    [Fact]
    public void A_process_that_the_system_killed_for_memory_halves_them_once()
    {
        var run = MachineRun.Linked(3);
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Handle(new RunEvent.Gone(2, "its connection broke"));
        foreach (var worker in new[] { 3, 4 })
        {
            run.Handle(new RunEvent.Arrived(worker, MachineRun.Hello(worker) with { WasKilledForMemory = true }));
            Assert.Single(run.Effects.OfType<RunEffect.FormGeneration>());
        }

        run.Handle(new RunEvent.Linked(0, 5, 0, []));
        Assert.Equal([8, 8], run.Effects.OfType<RunEffect.Issue>().Select(i => i.Operation.Geometry.Micro));
        run.Handle(new RunEvent.Arrived(5, MachineRun.Hello(5) with { WasKilledForMemory = true }));
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
    }

    [Fact]
    public void Where_a_single_sample_does_not_fit_the_worker_cannot_go_on()
    {
        var run = MachineRun.Linked(1, options => options with { Batch = options.Batch with { Micro = 1 } });
        run.Handle(new RunEvent.OutOfMemory(0, 1, 1, "no memory left"));
        Assert.Contains("a micro-batch of one sample does not fit its memory", run.Outcome!.Sentence);
    }

    [Fact]
    public void What_a_worker_says_of_another_generation_does_not_count()
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.OutOfMemory(1, 1, 1, "no memory left"));
        run.Handle(new RunEvent.OutOfMemory(0, 1, 1, "no memory left"));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.OutOfMemory(0, 2, 9, "no memory left"));
        Assert.Contains(run.Effects, e => e is RunEffect.Dismiss { Worker: 0, MayReturn: false });
    }

    [Fact]
    public void A_coordinator_that_starts_again_knows_of_it()
    {
        var change = new GeometryChange(OperationKind.Train, 2, 8);
        var memory = RunMemory.Of([new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.Geometry(change, 1, 2)]) with { Checkpoint = 0 };
        var run = new MachineRun(workers: 1, memory: memory);
        run.Arrive(0);
        run.Pass(TimeSpan.FromSeconds(5));
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        Assert.Equal([16, 8], run.Effects.OfType<RunEffect.Issue>().Select(i => i.Operation.Geometry.Micro));
    }

    private static void Link(MachineRun run, ulong generation)
    {
        run.Handle(new RunEvent.Linked(0, generation, 0, []));
        run.Handle(new RunEvent.Linked(1, generation, 0, []));
    }
}
