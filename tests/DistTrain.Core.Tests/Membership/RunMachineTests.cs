using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>One test for every sentence a run can say.</summary>
public class RunMachineTests
{
    private static readonly WorkerPreparation Proof = MachineRun.Proof;

    [Fact]
    public void The_first_worker_builds_and_the_others_get_what_it_built()
    {
        var run = new MachineRun(workers: 3);
        run.Arrive(0);
        Assert.Equal(new RunEffect.Prepare(0, Build: true, Checkpoint: 0, Applied: 0), run.Effects.OfType<RunEffect.Prepare>().Single());
        run.Arrive(1);
        Assert.Empty(run.Effects.OfType<RunEffect.Prepare>());
        run.Handle(new RunEvent.CheckpointPublished(0));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Prepared(0, Proof));
        Assert.Equal(new RunEffect.Prepare(1, Build: false, Checkpoint: 0, Applied: 0), run.Effects.OfType<RunEffect.Prepare>().Single());
        run.Arrive(2);
        Assert.Equal(new RunEffect.Prepare(2, Build: false, Checkpoint: 0, Applied: 0), run.Effects.OfType<RunEffect.Prepare>().Single());
    }

    [Fact]
    public void Ranks_follow_the_launchers_numbers_then_the_order_of_arrival()
    {
        var run = new MachineRun(workers: 4);
        run.Arrive(0, number: -1);
        run.Arrive(1, number: 7);
        run.Arrive(2, number: 3);
        run.Arrive(3, number: -1);
        run.PrepareAll();
        Assert.Equal([2, 1, 0, 3], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Fact]
    public void Nothing_is_issued_before_all_are_linked_then_two_at_once()
    {
        var run = MachineRun.Prepared(workers: 2);
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Linked(1, 1, 0, []));
        Assert.Equal([1UL, 2UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    [Fact]
    public void With_the_last_report_of_an_operation_a_record_is_made_and_the_one_after_the_next_issued()
    {
        var run = MachineRun.Linked(workers: 2);
        run.Report(1, 1);
        Assert.Empty(run.Effects);
        run.Report(0, 1);
        Assert.Equal([3UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
        Assert.Equal(1UL, run.Effects.OfType<RunEffect.Record>().Single().Operation.Number);
    }

    [Fact]
    public void A_run_is_complete_when_the_last_report_and_the_last_checkpoint_are_there()
    {
        var run = MachineRun.Linked(workers: 1);
        for (var operation = 1UL; operation <= 5; operation++)
        {
            Assert.Null(run.Outcome);
            run.Report(0, operation);
        }

        Assert.Null(run.Outcome);
        run.Handle(new RunEvent.CheckpointPublished(4));
        Assert.Equal(new RunOutcome(true, "Completed 4 steps."), run.Outcome);
    }

    [Fact]
    public void A_worker_that_is_gone_is_left_behind() =>
        GoesOnWithout(1, MachineRun.Linked(2), new RunEvent.Gone(1, "its connection broke"), "its connection broke", mayReturn: true);

    [Fact]
    public void A_worker_that_breaks_the_protocol_is_not_welcome_again() =>
        GoesOnWithout(1, MachineRun.Linked(2), new RunEvent.Gone(1, "it sent nonsense", MayReturn: false), "it sent nonsense", mayReturn: false);

    [Fact]
    public void A_worker_that_cannot_go_on_is_left_behind() =>
        GoesOnWithout(1, MachineRun.Linked(2), new RunEvent.Faulted(1, "No space left on device."), "it cannot go on: No space left on device", mayReturn: false);

    [Fact]
    public void The_last_worker_that_cannot_go_on_ends_the_run() =>
        MachineRun.EndsWith(MachineRun.Linked(1), new RunEvent.Faulted(0, "No space left on device."), "Worker 0 cannot go on: No space left on device.");

    [Fact]
    public void A_builder_that_is_gone_is_followed_by_another()
    {
        var run = new MachineRun(workers: 2);
        run.Arrive(0);
        run.Arrive(1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.Contains(new RunEffect.Prepare(1, Build: true, Checkpoint: 0, Applied: 0), run.Effects);
        Assert.Null(run.Outcome);
    }

    [Fact]
    public void Without_any_worker_the_run_goes_back_to_its_checkpoint_and_waits()
    {
        var run = MachineRun.Linked(1);
        run.Report(0, 1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.Contains(new RunEffect.Announce("waiting", "No worker is left. The run waits for workers."), run.Effects);
        run.Arrive(5);
        Assert.Contains(new RunEffect.Prepare(5, Build: false, Checkpoint: 0, Applied: 0), run.Effects);
        run.Handle(new RunEvent.Prepared(5, Proof));
        Assert.Empty(run.Effects);
        run.Pass(TimeSpan.FromSeconds(1));
        Assert.Contains(new RunEffect.Announce("rollback", "Nobody holds a newer state. The run goes on from checkpoint 0, 1 step back."), run.Effects);
        run.Handle(new RunEvent.Linked(5, 2, 0, []));
        Assert.Equal([1UL, 2UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    [Fact]
    public void What_survivors_hold_is_used_and_only_the_rest_computed_again()
    {
        // Five blocks: one is with worker 0, two with worker 2.
        var run = MachineRun.Linked(3, options => options with { Batch = options.Batch with { Micro = 5 } });
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Handle(new RunEvent.Linked(0, 2, 0, [new NodeId(0, 0)]) { Micro = 5 });
        run.Handle(new RunEvent.Linked(2, 2, 0, [new NodeId(1, 1)]) { Micro = 5 });
        var first = run.Effects.OfType<RunEffect.Issue>().First();
        Assert.Equal((1UL, 2), (first.Operation.Number, first.Shares!.Count));
        Assert.Equal([[new NodeId(0, 0)], [new NodeId(1, 1)]], first.Shares.Select(s => s.Held));
        Assert.Equal([new BlockRange(1, 2), new BlockRange(4, 5)], first.Shares.SelectMany(s => s.Compute));
        Assert.Null(run.Effects.OfType<RunEffect.Issue>().Last().Shares);
    }

    [Fact]
    public void Who_has_applied_an_operation_hands_its_root_to_who_has_not()
    {
        var run = MachineRun.Linked(3);
        run.Report(0, 1);
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Handle(new RunEvent.Linked(0, 2, 1, [new NodeId(0, 1)]) { Micro = 16 });
        run.Handle(new RunEvent.Linked(2, 2, 0, [new NodeId(0, 0)]) { Micro = 16 });
        var issues = run.Effects.OfType<RunEffect.Issue>().ToList();
        var tree = new ReductionTree(issues[0].Operation.Batches.Blocks);
        Assert.Equal([[tree.Root], []], issues[0].Shares!.Select(s => s.Held));
        Assert.Empty(issues[0].Shares!.SelectMany(s => s.Compute));
        Assert.Equal([[new NodeId(0, 1)], []], issues[1].Shares!.Select(s => s.Held));
    }

    [Fact]
    public void A_joiner_learns_from_a_member_and_enters_when_all_that_was_handed_out_is_done()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Report(1, 1);
        run.Arrive(2);
        Assert.Contains(new RunEffect.Learn(2, Source: 1) { Address = "http://host1:1" }, run.Effects);
        run.Handle(new RunEvent.Prepared(2, Proof with { Applied = 1, WeightsHash = "1" }));
        run.Report(0, 2);
        run.Report(1, 2);
        Assert.Empty(run.Effects.OfType<RunEffect.Issue>());
        run.Report(0, 3);
        run.Report(1, 3);
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
        run.Handle(new RunEvent.Learned(2, 2));
        run.Handle(new RunEvent.Learned(2, 3));
        Assert.Equal([0, 1, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Fact]
    public void A_link_that_breaks_is_made_anew_once_and_then_the_newer_worker_goes()
    {
        var run = MachineRun.Linked(3);
        run.Handle(new RunEvent.LinkBroke(0, 1, Peer: 2, "it ended the call"));
        Assert.Contains(new RunEffect.Announce("link-broke", "Worker 0 does not reach Worker 2: it ended the call."), run.Effects);
        Assert.Equal([0, 1, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        run.Handle(new RunEvent.LinkBroke(2, 1, Peer: 0, "it ended the call"));
        Assert.Empty(run.Effects);
        GoesOnWithout(2, run, new RunEvent.LinkBroke(0, 2, Peer: 2, "no answer in time"), "the link between it and Worker 0 is broken", mayReturn: true);
    }

    [Fact]
    public void A_worker_that_leaves_finishes_what_was_handed_out()
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.LeaveAsked(1, "it was asked to end"));
        Assert.Equal([new RunEffect.Announce("leave", "Worker 1 leaves: it was asked to end.")], run.Effects);
        run.Report(0, 1);
        run.Report(1, 1);
        run.Report(0, 2);
        Assert.Empty(run.Effects.OfType<RunEffect.Issue>());
        run.Report(1, 2);
        Assert.Contains(new RunEffect.Dismiss(1, Success: true, MayReturn: false, "It left as it asked to."), run.Effects);
        Assert.Equal([0], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Fact]
    public void Who_leaves_and_who_joins_between_the_same_operations_change_one_generation()
    {
        var run = MachineRun.Linked(3);
        run.Arrive(3);
        run.Handle(new RunEvent.Prepared(3, Proof with { Applied = 0 }));
        run.Handle(new RunEvent.LeaveAsked(1, "it was asked to end"));
        foreach (var operation in new[] { 1UL, 2UL })
        {
            run.Handle(new RunEvent.Learned(3, operation));
            Enumerable.Range(0, 3).ToList().ForEach(worker => run.Report(worker, operation));
        }

        var list = run.Effects.OfType<RunEffect.FormGeneration>().Single().List;
        Assert.Equal([0, 2, 3], list.Members.Select(m => m.Worker));
        var change = list.Since(new MemberList(1, [.. Enumerable.Range(0, 3).Select(w => new ListedMember(w, $"http://host{w}:1", w))]));
        Assert.Equal([1], change.Gone);
        Assert.Equal([new ListedMember(3, "http://host3:1", 3)], change.Came);
    }

    [Fact]
    public void A_worker_that_is_silent_is_left_behind()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Pass(TimeSpan.FromSeconds(2));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Heard(0));
        run.Now += TimeSpan.FromSeconds(0.1);
        GoesOnWithout(1, run, new RunEvent.TimePassed(), "it was silent for 2s", mayReturn: true);
    }

    /// <summary>What they said lies in the queue behind the tick, in which the coordinator is late.</summary>
    [Fact]
    public void The_standstill_of_the_coordinator_is_nobodys_silence()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Pass(TimeSpan.FromSeconds(1));
        run.Now += TimeSpan.FromMinutes(1);
        run.Handle(new RunEvent.TimePassed());
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Heard(0));

        // Of the minute two beats count: the other worker has been silent for 1.8 s.
        run.Pass(TimeSpan.FromSeconds(0.2));
        Assert.Empty(run.Effects);
        run.Now += TimeSpan.FromSeconds(0.1);
        GoesOnWithout(1, run, new RunEvent.TimePassed(), "it was silent for 2s", mayReturn: true);
    }

    [Theory]
    [InlineData(3UL, 1UL)]
    [InlineData(1UL, 2UL)]
    public void Who_reports_something_that_was_not_given_is_left_behind(ulong operation, ulong generation) => GoesOnWithout(
        1, MachineRun.Linked(2), new RunEvent.Reported(1, MachineRun.ReportOf(operation, generation)),
        $"it reported operation {operation} of generation {generation}, which it was not given", mayReturn: false);

    [Fact]
    public void Who_reports_twice_is_left_behind()
    {
        var run = MachineRun.Linked(2);
        run.Report(1, 1);
        GoesOnWithout(
            1, run, new RunEvent.Reported(1, MachineRun.ReportOf(1)), "it reported operation 1 of generation 1, which it was not given", mayReturn: false);
    }

    [Fact]
    public void Who_leaves_one_out_is_left_behind() => GoesOnWithout(
        1, MachineRun.Linked(2), new RunEvent.Reported(1, MachineRun.ReportOf(2)), "it reported operation 2 of generation 1, which it was not given", mayReturn: false);

    [Fact]
    public void Twenty_skipped_steps_in_a_row_end_the_run_and_nineteen_do_not()
    {
        var run = new MachineRun(1, options => options with { Stop = new StopOptions { Steps = 100 }, Evaluate = new EvaluateOptions { EveryEpochs = 0 } });
        run.Arrive(0);
        run.PrepareAll();
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        for (var operation = 1UL; operation <= 39; operation++)
        {
            run.Handle(new RunEvent.Reported(0, MachineRun.ReportOf(operation) with { Skipped = operation != 20 }));
            Assert.Null(run.Outcome);
        }

        MachineRun.EndsWith(run, new RunEvent.Reported(0, MachineRun.ReportOf(40) with { Skipped = true }),
            "The gradients of 20 steps in a row were not finite, the last at step 40: lower optimizer.learningRate or set clip.globalNorm.");
    }

    [Fact]
    public void A_link_of_another_generation_means_nothing()
    {
        var run = new MachineRun(workers: 1);
        run.Arrive(0);
        run.Handle(new RunEvent.Linked(0, 0, 0, []));
        Assert.Empty(run.Effects);
        run.PrepareAll();
        run.Handle(new RunEvent.Linked(0, 2, 0, []));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        Assert.Equal(2, run.Effects.OfType<RunEffect.Issue>().Count());
    }

    [Fact]
    public void After_the_end_nothing_happens_any_more()
    {
        var run = new MachineRun(workers: 2);
        run.Handle(new RunEvent.Stopped("over"));
        foreach (var happened in new RunEvent[]
        {
            new RunEvent.Arrived(5, MachineRun.Hello(5)), new RunEvent.Gone(0, "x"), new RunEvent.Reported(0, MachineRun.ReportOf(1)), new RunEvent.TimePassed(),
            new RunEvent.Stopped("again"), new RunEvent.CheckpointPublished(4),
        })
        {
            run.Handle(happened);
            Assert.Empty(run.Effects);
        }
    }

    private static void GoesOnWithout(int worker, MachineRun run, RunEvent happened, string reason, bool mayReturn)
    {
        MachineRun.Loses(worker, run, happened, reason, mayReturn);
        Assert.DoesNotContain(worker, run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }
}
