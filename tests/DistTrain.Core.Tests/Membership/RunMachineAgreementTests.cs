using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Membership;

/// <summary>Members that hold different weights after one step.</summary>
public sealed class RunMachineAgreementTests
{
    /// <summary>With the last link it is known that all who are left have completed the operation, and that they disagree.</summary>
    [Fact]
    public void Of_members_that_disagree_after_a_loss_nobody_is_given_an_operation_before_the_minority_is_gone()
    {
        var run = MachineRun.Linked(4);
        run.Report(0, 1, "right");
        run.Report(1, 1, "right");
        run.Report(2, 1, "wrong");
        run.Handle(new RunEvent.Gone(3, "its connection broke"));
        run.Handle(new RunEvent.Linked(0, 2, 1, []));
        run.Handle(new RunEvent.Linked(1, 2, 1, []));
        run.Handle(new RunEvent.Linked(2, 2, 1, []));
        Assert.Equal([0, 1], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        Assert.Empty(run.Effects.OfType<RunEffect.Issue>());
        run.Handle(new RunEvent.Linked(0, 3, 1, []));
        run.Handle(new RunEvent.Linked(1, 3, 1, []));
        var plan = run.Effects.OfType<RunEffect.SendPlan>().Single().Plan;
        Assert.All(plan.Assignments.Values, ranges => Assert.Equal(2, ranges.Count));
        Assert.All(run.Effects.OfType<RunEffect.Issue>(), issue => Assert.Equal(plan.Number, issue.Plan));
    }

    [Fact]
    public void The_minority_has_to_go_and_may_copy_the_state_anew()
    {
        var run = MachineRun.Linked(3);
        run.Report(0, 1);
        run.Report(1, 1, "wrong");
        Assert.Empty(run.Effects.OfType<RunEffect.Dismiss>());
        run.Report(2, 1);
        Assert.Contains(
            new RunEffect.Announce("disagreement",
                "After step 1 the members hold different weights (Worker 0 on host0, Worker 2 on host2: 1; Worker 1 on host1: wrong): "
                + "a processor or memory on one of the hosts computes wrongly."),
            run.Effects);
        Assert.Equal([1], run.Effects.OfType<RunEffect.Dismiss>().Where(d => d.MayReturn && d.DropsState).Select(d => d.Worker));
        Assert.Equal(["1", "1"], run.Effects.OfType<RunEffect.Record>().Single().Reports.Select(r => r.WeightsHash));
        Assert.Equal([0, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        run.Handle(new RunEvent.Linked(0, 2, 1, []));
        run.Handle(new RunEvent.Linked(2, 2, 1, []));
        Assert.Equal([2UL, 3UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    [Fact]
    public void Where_there_is_no_majority_all_go_back_to_the_checkpoint_once()
    {
        var run = MachineRun.Linked(2);
        Disagree(run, 0, 1);
        Assert.Equal([0, 1], run.Effects.OfType<RunEffect.Prepare>().Where(p => !p.Build && p.Checkpoint == 0).Select(p => p.Worker));
        Assert.Empty(run.Effects.OfType<RunEffect.Record>());
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        run.Handle(new RunEvent.Prepared(1, MachineRun.Proof));
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "rollback" });
        run.Handle(new RunEvent.Linked(0, 2, 0, []));
        run.Handle(new RunEvent.Linked(1, 2, 0, []));
        Assert.Null(run.Outcome);
        Disagree(run, 0, 1);
        Assert.StartsWith("The members disagreed once more after step 1, and no side is a majority", run.Outcome!.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void A_checkpoint_with_the_minoritys_weights_is_thrown_away()
    {
        var run = MachineRun.Linked(3, options => options with { Checkpoint = new CheckpointOptions { EverySteps = 1 } });
        run.Report(0, 1, "wrong");
        run.Handle(new RunEvent.CheckpointPublished(1, "wrong"));
        run.Report(1, 1);
        Assert.DoesNotContain(run.Effects, e => e is RunEffect.Discard);
        run.Report(2, 1);
        Assert.Equal([1, 2], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
        run.Handle(new RunEvent.Linked(1, 2, 1, []));
        run.Handle(new RunEvent.Linked(2, 2, 1, []));
        Assert.Contains(new RunEffect.Discard(1), run.Effects);
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "checkpoint-failed" });
        run.Report(1, 2);
        run.Report(2, 2);
        run.Handle(new RunEvent.CheckpointPublished(2, "2"));
        Assert.DoesNotContain(run.Effects, e => e is RunEffect.Discard);
    }

    private static void Disagree(MachineRun run, int one, int other)
    {
        run.Report(one, 1, "this");
        run.Report(other, 1, "that");
    }
}
