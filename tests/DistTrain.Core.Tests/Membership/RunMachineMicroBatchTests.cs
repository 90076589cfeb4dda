using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Membership;

/// <summary>The size of micro-batches where the workers have to find it: the smallest proposal of the first generation, once, and for good.</summary>
public sealed class RunMachineMicroBatchTests
{
    [Fact]
    public void The_smallest_proposal_is_that_of_all_and_in_the_journal_ahead_of_the_generation()
    {
        var run = Proposing(8, 4, 6);
        var written = run.Effects.OfType<RunEffect.Write>().Select(w => w.Entry).Where(e => e is not JournalEntry.Reference).ToList();
        Assert.Equal([new JournalEntry.MicroBatch(4), new JournalEntry.Generation(1, 3, 0)], written);
        var sentence = Assert.Single(run.Effects.OfType<RunEffect.Announce>(), a => a.Name == "micro-batch").Sentence;
        Assert.Contains("at most 4 samples", sentence, StringComparison.Ordinal);
        Assert.Contains("Worker 0 on host0 proposes 8 and tried up to 16; Worker 1 on host1 proposes 4 and tried up to 8; Worker 2 on host2 proposes 6 and tried up to 12", sentence, StringComparison.Ordinal);
        Link(run, 3);
        Assert.All(run.Effects.OfType<RunEffect.Issue>(), i => Assert.Equal((25L, 4), (i.Operation.Geometry.Global, i.Operation.Geometry.Micro)));
    }

    [Fact]
    public void Before_it_is_known_nobody_is_told_one_and_afterwards_everybody_is()
    {
        var run = new MachineRun(workers: 1, Auto);
        run.Arrive(0);
        Assert.Equal(0, Assert.Single(run.Effects.OfType<RunEffect.Prepare>()).Micro);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(0, Proof(proposal: 5, most: 9)));
        Link(run, 1);
        run.Arrive(1);
        Assert.Equal(5, Assert.Single(run.Effects.OfType<RunEffect.Learn>()).Micro);
    }

    [Theory]
    [InlineData(4, false)]
    [InlineData(5, true)]
    public void A_joiner_without_memory_for_it_is_sent_away(int most, bool stays)
    {
        var run = Proposing(5);
        Link(run, 1);
        run.Arrive(1);
        run.Handle(new RunEvent.Prepared(1, Proof(proposal: most, most)));
        var refusal = run.Effects.OfType<RunEffect.Refuse>().SingleOrDefault();
        Assert.Equal(stays ? null : RefusalReason.Memory, refusal?.Reason);
        Assert.True(stays || refusal!.Sentence.StartsWith("A micro-batch of this run holds up to 5 samples, and no more than 4 fit its memory", StringComparison.Ordinal));
    }

    [Fact]
    public void Once_they_were_halved_the_half_is_enough()
    {
        var run = Proposing(8);
        Link(run, 1);
        run.Handle(new RunEvent.OutOfMemory(0, 1, 1, "no memory left"));
        run.Handle(new RunEvent.Linked(0, 2, 0, []));
        run.Arrive(1);
        Assert.Equal(4, Assert.Single(run.Effects.OfType<RunEffect.Learn>()).Micro);
        run.Handle(new RunEvent.Prepared(1, Proof(proposal: 4, most: 4)));
        Assert.Empty(run.Effects.OfType<RunEffect.Refuse>());
    }

    [Fact]
    public void Who_proposes_none_does_not_take_part()
    {
        var run = new MachineRun(workers: 1, Auto);
        run.Arrive(0);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        Assert.Contains(run.Effects, e => e is RunEffect.Dismiss { Worker: 0, MayReturn: false });
    }

    [Fact]
    public void A_coordinator_that_starts_again_goes_by_what_was_found()
    {
        var memory = RunMemory.Of([new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.MicroBatch(3)]) with { Checkpoint = 0 };
        var run = new MachineRun(workers: 1, Auto, memory);
        run.Arrive(0);
        Assert.Equal(3, Assert.Single(run.Effects.OfType<RunEffect.Prepare>()).Micro);
        run.Pass(TimeSpan.FromSeconds(5));
        run.Handle(new RunEvent.Prepared(0, Proof(proposal: 2, most: 3)));
        Assert.DoesNotContain(run.Effects, e => e is RunEffect.Write { Entry: JournalEntry.MicroBatch });
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        Assert.All(run.Effects.OfType<RunEffect.Issue>(), i => Assert.Equal(3, i.Operation.Geometry.Micro));
    }

    [Fact]
    public void A_process_that_was_killed_while_it_measured_halves_nothing()
    {
        var run = new MachineRun(workers: 2, Auto);
        run.Arrive(0);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(0, Proof(proposal: 8, most: 8)));
        run.Handle(new RunEvent.Arrived(1, MachineRun.Hello(1) with { WasKilledForMemory = true }));
        run.Handle(new RunEvent.Prepared(1, Proof(proposal: 8, most: 8)));
        Link(run, 2);
        Assert.All(run.Effects.OfType<RunEffect.Issue>(), i => Assert.Equal(8, i.Operation.Geometry.Micro));
    }

    [Fact]
    public void Where_the_configuration_says_a_size_nobody_is_asked()
    {
        var run = MachineRun.Linked(1);
        run.Arrive(1);
        Assert.Equal(0, Assert.Single(run.Effects.OfType<RunEffect.Learn>()).Micro);
        run.Handle(new RunEvent.Prepared(1, MachineRun.Proof));
        Assert.Empty(run.Effects.OfType<RunEffect.Refuse>());
    }

    private static RunOptions Auto(RunOptions options) => options with { Batch = options.Batch with { Micro = 0 } };

    private static WorkerPreparation Proof(int proposal, int most) => MachineRun.Proof with { Proposal = proposal, Most = most };

    /// <summary>A run whose workers have proposed sizes, and whose first generation is formed.</summary>
    private static MachineRun Proposing(params int[] sizes)
    {
        var run = new MachineRun(sizes.Length, Auto);
        for (var worker = 0; worker < sizes.Length; worker++)
        {
            run.Arrive(worker);
        }

        run.Handle(new RunEvent.CheckpointPublished(0));
        for (var worker = 0; worker < sizes.Length; worker++)
        {
            run.Handle(new RunEvent.Prepared(worker, Proof(sizes[worker], 2 * sizes[worker])));
        }

        return run;
    }

    private static void Link(MachineRun run, int workers)
    {
        for (var worker = 0; worker < workers; worker++)
        {
            run.Handle(new RunEvent.Linked(worker, 1, 0, []));
        }
    }
}
