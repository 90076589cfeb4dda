using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Membership;

/// <summary>What becomes of a run whose workers have lost the coordinator and come back: to the same one, or to one that has started again.</summary>
public sealed class RunMachineReturnTests
{
    private static readonly RunMemory Memory = new()
    {
        Generation = 7,
        Members = 2,
        Reference = MachineRun.Proof,
        Checkpoint = 0,
        RecordedStep = 1,
    };

    [Fact]
    public void A_coordinator_that_starts_again_goes_on_from_what_the_workers_hold()
    {
        var run = new MachineRun(workers: 2, memory: Memory);
        run.ComeBack(0, applied: 3, reportsFrom: 2);
        Assert.Empty(run.Effects);
        run.ComeBack(1, applied: 2, reportsFrom: 2);
        Assert.Contains(new RunEffect.Announce("resumed", "The run goes on after step 3, whose state 2 workers still held."), run.Effects);
        Assert.Equal((8UL, 2), run.Effects.OfType<RunEffect.FormGeneration>().Select(e => (e.Generation, e.Members.Count)).Single());
        Assert.Empty(run.Effects.OfType<RunEffect.Prepare>());

        // Worker 1 is one behind: it gets the root of operation 3, and what it held of that is not needed any more.
        run.Handle(new RunEvent.Linked(0, 8, 3, [new NodeId(0, 0)]) { Micro = 16 });
        run.Handle(new RunEvent.Linked(1, 8, 2, [new NodeId(0, 1)]) { Micro = 16 });
        Assert.Equal([2UL], run.Effects.OfType<RunEffect.Record>().Select(e => e.Operation.Number));
        var issues = run.Effects.OfType<RunEffect.Issue>().ToList();
        Assert.Equal([3UL, 4UL], issues.Select(i => i.Operation.Number));
        Assert.Equal([[new ReductionTree(issues[0].Operation.Batches.Blocks).Root], []], issues[0].Shares!.Select(s => s.Held));
    }

    [Fact]
    public void What_those_who_come_back_hold_of_the_next_operation_is_used()
    {
        var run = new MachineRun(workers: 2, memory: Memory);
        run.ComeBack(0, applied: 2);
        run.ComeBack(1, applied: 2);
        run.Handle(new RunEvent.Linked(0, 8, 2, [new NodeId(0, 0)]) { Micro = 16 });
        run.Handle(new RunEvent.Linked(1, 8, 2, []));
        var issue = run.Effects.OfType<RunEffect.Issue>().First();
        Assert.Equal(3UL, issue.Operation.Number);
        Assert.Equal([[new NodeId(0, 0)], []], issue.Shares!.Select(s => s.Held));
        Assert.Equal(1, issue.Shares!.SelectMany(s => s.Compute).Sum(r => r.Count));
    }

    [Fact]
    public void A_decision_is_written_before_it_is_told()
    {
        var run = new MachineRun(workers: 1, memory: Memory with { Members = 1 });
        run.ComeBack(0, applied: 3);
        var effects = run.Effects.ToList();
        Assert.True(effects.IndexOf(new RunEffect.Write(new JournalEntry.Generation(8, 1, 4))) < effects.FindIndex(e => e is RunEffect.FormGeneration));
        Assert.Contains(effects, e => e is RunEffect.Write);
    }

    [Fact]
    public void Who_does_not_come_back_is_waited_for_a_moment()
    {
        var run = new MachineRun(workers: 2, memory: Memory);
        run.ComeBack(0, applied: 3);
        run.Pass(TimeSpan.FromSeconds(0.9));
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
        run.Pass(TimeSpan.FromSeconds(0.1));
        Assert.Equal([0], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);

        // And one that comes later learns from it.
        run.Handle(new RunEvent.Arrived(1, MachineRun.Hello(1) with { Offer = 3 }));
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
    }

    [Fact]
    public void Who_comes_without_a_state_does_not_make_the_run_forget_those_who_have_one()
    {
        var run = new MachineRun(workers: 1, memory: Memory);
        run.Arrive(5);
        run.Handle(new RunEvent.Prepared(5, MachineRun.Proof));
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
        run.ComeBack(0, applied: 3);
        run.Pass(TimeSpan.FromSeconds(1));
        Assert.Equal([0], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        Assert.Contains(new RunEffect.Learn(5, Source: 0) { Address = "http://host0:1" }, run.Effects);
    }

    [Fact]
    public void A_state_far_behind_or_older_than_the_checkpoint_is_given_up()
    {
        var run = new MachineRun(workers: 2, memory: Memory with { RecordedStep = 4, Checkpoint = 4 });
        run.Handle(new RunEvent.Arrived(0, MachineRun.Hello(0) with { Offer = 3 }));
        Assert.Contains(new RunEffect.Prepare(0, Build: false, Checkpoint: 4, Applied: 4), run.Effects);

        run = new MachineRun(workers: 2, memory: Memory);
        run.ComeBack(0, applied: 3);
        run.ComeBack(1, applied: 1);
        Assert.Equal([0], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
    }

    [Fact]
    public void Who_cannot_tell_how_it_came_by_its_state_is_no_member()
    {
        // Operation 2 has no line yet, and nobody can report it.
        var run = new MachineRun(workers: 1, memory: Memory with { Members = 1 });
        run.ComeBack(0, applied: 3, reportsFrom: 3);
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "state-refused" });
        Assert.Contains(new RunEffect.Prepare(0, Build: false, Checkpoint: 0, Applied: 0), run.Effects);
    }

    [Fact]
    public void Of_states_that_differ_the_majority_counts()
    {
        var run = new MachineRun(workers: 3, memory: Memory with { Members = 3 });
        run.ComeBack(0, applied: 3);
        run.ComeBack(1, applied: 3, hash: "other");
        run.ComeBack(2, applied: 3);
        Assert.Equal([0, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);

        run = new MachineRun(workers: 2, memory: Memory);
        run.ComeBack(0, applied: 3);
        run.ComeBack(1, applied: 3, hash: "other");
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "state-refused" });
    }

    [Fact]
    public void When_nobody_has_a_state_the_run_goes_back_to_its_checkpoint_and_says_so_in_the_journal()
    {
        var run = new MachineRun(workers: 1, memory: Memory);
        run.Arrive(0);
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        run.Pass(TimeSpan.FromSeconds(1));
        Assert.Contains(new RunEffect.Write(new JournalEntry.Rollback(0)), run.Effects);
        Assert.Contains(new RunEffect.Announce("rollback", "Nobody holds a newer state. The run goes on from checkpoint 0, 1 step back."), run.Effects);
        run.Handle(new RunEvent.Linked(0, 8, 0, []));
        Assert.Equal([1UL, 2UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    [Fact]
    public void Members_that_lose_a_living_coordinator_lose_no_step_either()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        Assert.Equal([1UL], run.Effects.OfType<RunEffect.Record>().Select(e => e.Operation.Number));
        run.ComeBack(2, applied: 2);
        run.ComeBack(3, applied: 1);
        Assert.Contains(new RunEffect.Announce("resumed", "The run goes on after step 2, whose state 2 workers still held."), run.Effects);
        run.Handle(new RunEvent.Linked(2, 3, 2, []));
        run.Handle(new RunEvent.Linked(3, 3, 1, []));
        Assert.Equal([2UL, 3UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    [Fact]
    public void A_worker_that_brings_a_state_has_to_belong_here_as_well()
    {
        var run = new MachineRun(workers: 1, memory: Memory);
        run.Handle(new RunEvent.Arrived(0, MachineRun.Hello(0) with { Offer = 3 }));
        run.Handle(new RunEvent.Kept(0, MachineRun.Proof with { Applied = 3, ProbeHash = "other" }, []));
        Assert.Contains(run.Effects, e => e is RunEffect.Refuse { Worker: 0, Reason: RefusalReason.Arithmetic });
        run.Arrive(1);
        run.Handle(new RunEvent.Kept(1, MachineRun.Proof with { Applied = 3 }, []));
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "lost" });
    }

    [Fact]
    public void A_run_that_was_complete_is_complete_again()
    {
        var run = new MachineRun(workers: 1, memory: Memory with { RecordedStep = 4, Checkpoint = 4, Losses = new Dictionary<long, double> { [4] = 1 } });
        run.Arrive(0);
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        run.Pass(TimeSpan.FromSeconds(1));
        run.Handle(new RunEvent.Linked(0, 8, 4, []));
        run.Report(0, 5);
        Assert.Equal(new RunOutcome(true, "Completed 4 steps."), run.Outcome);
    }

    [Fact]
    public void The_journal_tells_what_a_restarted_machine_has_to_know()
    {
        var memory = RunMemory.Of(
        [
            new JournalEntry.Run("1", "1.0"), new JournalEntry.Term(1, new Dictionary<string, string>()), new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.Generation(1, 4, 0),
            new JournalEntry.MixedHosts(), new JournalEntry.Generation(2, 3, 9),
        ]);
        Assert.Equal((2UL, 3, false, MachineRun.Proof), (memory.Generation, memory.Members, memory.PromisesSameBits, memory.Reference));
    }

    [Fact]
    public void A_stop_finishes_what_is_under_way_and_writes_the_state()
    {
        var run = MachineRun.Linked(1, options => options with { Checkpoint = new CheckpointOptions { EverySteps = 0 } });
        run.Report(0, 1);
        run.Handle(new RunEvent.Stopped("The coordinator was asked to end."));
        run.Report(0, 2);
        Assert.Empty(run.Effects.OfType<RunEffect.Issue>());
        run.Report(0, 3);
        Assert.Equal(new RunEffect.Save(0, 3), run.Effects.OfType<RunEffect.Save>().Single());
        run.Handle(new RunEvent.CheckpointPublished(3));
        Assert.Equal((true, RunStatus.Stopped), (run.Outcome!.Success, run.Outcome.Status));
    }

    [Fact]
    public void A_stop_does_not_wait_for_ever()
    {
        var run = MachineRun.Linked(1);
        run.Handle(new RunEvent.Stopped("The coordinator was asked to end."));
        run.Handle(new RunEvent.Heard(0));
        for (var i = 0; i < 9 && run.Outcome is null; i++)
        {
            run.Handle(new RunEvent.Heard(0));
            run.Pass(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(new RunOutcome(false, "The state after step 2 was not written in 8s: --resume goes on from checkpoint 0."), run.Outcome);
    }

    [Fact]
    public void A_stop_before_the_first_step_ends_the_run_at_once()
    {
        var run = new MachineRun(workers: 1);
        run.Handle(new RunEvent.Stopped("The coordinator was asked to end."));
        Assert.Equal(
            new RunOutcome(true, "The coordinator was asked to end. No step was done: --resume begins the run.") { Status = RunStatus.Stopped }, run.Outcome);
    }
}
