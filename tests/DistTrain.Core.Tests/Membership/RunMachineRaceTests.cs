using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Membership;

/// <summary>Orders of events that only the simulation came by.</summary>
public sealed class RunMachineRaceTests
{
    [Fact]
    public void An_attempt_to_write_the_state_whose_writer_is_lost_is_none()
    {
        const int Workers = RunMachine.MaxSaves + 3;
        var run = MachineRun.Linked(Workers);
        for (var operation = 1UL; operation <= 5; operation++)
        {
            for (var worker = 0; worker < Workers; worker++)
            {
                run.Report(worker, operation);
            }
        }

        for (var lost = 0; lost < Workers - 1; lost++)
        {
            run.Handle(new RunEvent.Gone(lost, "its connection broke"));
            for (var worker = lost + 1; worker < Workers; worker++)
            {
                run.Handle(new RunEvent.Linked(worker, (ulong)lost + 2, 5, []));
            }

            Assert.Equal([new RunEffect.Save(lost + 1, 4)], run.Effects.OfType<RunEffect.Save>());
        }

        run.Handle(new RunEvent.CheckpointPublished(4));
        Assert.Equal(new RunOutcome(true, "Completed 4 steps."), run.Outcome);
    }

    [Fact]
    public void A_run_whose_checkpoints_are_all_gone_begins_anew_when_nobody_has_a_state()
    {
        var run = new MachineRun(workers: 1, memory: new RunMemory { Generation = 7, Members = 1, Reference = MachineRun.Proof, RecordedStep = 1 });
        run.ComeBack(0, applied: 1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Arrive(1);
        Assert.Contains(new RunEffect.Prepare(1, Build: true, Checkpoint: 0, Applied: 0), run.Effects);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Handle(new RunEvent.Prepared(1, MachineRun.Proof));
        run.Pass(TimeSpan.FromSeconds(2));
        run.Handle(new RunEvent.Linked(1, 9, 0, []));
        Assert.Equal([1UL, 2UL], run.Effects.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
    }

    /// <summary>Worker 1 has copied the state after operation 1 when its source is lost, and is told to get the checkpoint instead.</summary>
    [Fact]
    public void What_a_worker_says_of_a_state_it_was_told_to_drop_does_not_count()
    {
        var run = MachineRun.Linked(1);
        run.Arrive(1);
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.Contains(new RunEffect.Prepare(1, Build: false, Checkpoint: 0, Applied: 0), run.Effects);
        run.Handle(new RunEvent.Prepared(1, MachineRun.Proof with { Applied = 1, WeightsHash = "after1" }) { Told = 1 });
        run.Pass(TimeSpan.FromSeconds(2));
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
        run.Handle(new RunEvent.Prepared(1, MachineRun.Proof) { Told = 2 });
        Assert.Equal([1], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Fact]
    public void A_checkpoint_that_is_not_kept_any_more_is_no_reason_to_end()
    {
        var run = new MachineRun(workers: 1);
        run.Arrive(0);
        run.Handle(new RunEvent.CheckpointPublished(0));
        run.Arrive(1);
        run.Handle(new RunEvent.Prepared(0, MachineRun.Proof));
        Assert.Contains(new RunEffect.Prepare(1, Build: false, Checkpoint: 0, Applied: 0), run.Effects);

        // While worker 1 is about to get it, the other one trains on and is lost.
        run.Handle(new RunEvent.Linked(0, 1, 0, []));
        for (var operation = 1UL; operation <= 4; operation++)
        {
            run.Report(0, operation);
        }

        run.Handle(new RunEvent.CheckpointPublished(4));
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Handle(new RunEvent.LearningFailed(1, "There is no checkpoint of step 0."));
        Assert.Contains(new RunEffect.Prepare(1, Build: false, Checkpoint: 4, Applied: 4), run.Effects);

        // Where there is no newer one, nobody could go on.
        run.Handle(new RunEvent.LearningFailed(1, "There is no checkpoint of step 4."));
        Assert.Equal(new RunOutcome(false, "Worker 1 cannot go on: There is no checkpoint of step 4."), run.Outcome);
    }

    [Fact]
    public void Who_brings_a_state_along_has_it_until_the_copy_comes()
    {
        var run = MachineRun.Linked(1);
        run.Report(0, 1);
        run.Handle(new RunEvent.Arrived(1, MachineRun.Hello(1) with { Offer = 1 }));
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.Contains(new RunEffect.Keep(1), run.Effects);
        run.Handle(new RunEvent.Kept(1, MachineRun.Proof with { Applied = 1, WeightsHash = "1" }, [MachineRun.ReportOf(1)]));
        Assert.Contains(new RunEffect.Announce("resumed", "The run goes on after step 1, whose state 1 worker still held."), run.Effects);
    }

    [Fact]
    public void Who_does_not_have_the_state_any_more_that_it_brought_along_gets_the_checkpoint()
    {
        var run = MachineRun.Linked(1);
        run.Handle(new RunEvent.Arrived(1, MachineRun.Hello(1) with { Offer = 1 }));
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.Contains(new RunEffect.Keep(1), run.Effects);
        run.Handle(new RunEvent.LearningFailed(1, "The state it brought along is written over in part."));
        Assert.Contains(new RunEffect.Prepare(1, Build: false, Checkpoint: 0, Applied: 0), run.Effects);
    }

    [Fact]
    public void A_source_that_refuses_is_asked_again_only_when_the_clock_has_moved()
    {
        var run = MachineRun.Linked(1);
        run.Arrive(1);
        run.Handle(new RunEvent.LearningFailed(1, "the source ended the call"));
        Assert.Empty(run.Effects.OfType<RunEffect.Learn>());
        run.Handle(new RunEvent.Heard(0));
        run.Pass(TimeSpan.FromSeconds(0.4));
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
    }

    [Fact]
    public void A_newest_state_that_is_refused_does_not_take_the_others_along()
    {
        var run = new MachineRun(workers: 2, memory: new RunMemory { Generation = 7, Members = 2, Reference = MachineRun.Proof, Checkpoint = 0, RecordedStep = 1 });
        run.ComeBack(0, applied: 2);
        run.ComeBack(1, applied: 4, reportsFrom: 4);
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "state-refused" });
        Assert.Contains(new RunEffect.Announce("resumed", "The run goes on after step 2, whose state 1 worker still held."), run.Effects);
        Assert.Contains(new RunEffect.Learn(1, Source: 0) { Address = "http://host0:1" }, run.Effects);
    }

    [Fact]
    public void What_has_its_line_needs_no_report_also_after_a_return_to_a_checkpoint()
    {
        var run = MachineRun.Linked(2);
        for (var operation = 1UL; operation <= 3; operation++)
        {
            run.Report(0, operation);
            run.Report(1, operation);
        }

        // Both are lost, and a third goes back to the beginning; then worker 0 comes back, whose first reports are known to be written down.
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Arrive(2);
        run.Handle(new RunEvent.Prepared(2, MachineRun.Proof));
        run.Pass(TimeSpan.FromSeconds(2));
        run.Handle(new RunEvent.Linked(2, 3, 0, []));
        run.Handle(new RunEvent.Reported(2, MachineRun.ReportOf(1, 3)));
        run.Handle(new RunEvent.Gone(2, "its connection broke"));
        run.ComeBack(3, applied: 3, reportsFrom: 3);
        Assert.Contains(new RunEffect.Announce("resumed", "The run goes on after step 3, whose state 1 worker still held."), run.Effects);
    }
}
