using DistTrain.Core.Batches;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
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
        var plan = run.Effects.OfType<RunEffect.SendPlan>().Last().Plan;
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

    [Fact]
    public void What_a_lost_worker_reported_of_an_operation_that_is_cut_up_anew_is_not_written_down()
    {
        var run = CutUpBehindAReport();
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        Assert.Empty(run.Effects.OfType<RunEffect.Record>());
    }

    [Fact]
    public void A_learner_is_held_against_the_weights_of_the_operation_as_it_is_cut_up_now()
    {
        var run = CutUpBehindAReport();
        run.Report(1, 1, "other");
        Assert.Equal("other", run.Effects.OfType<RunEffect.Record>().Single().Reports.Single().WeightsHash);
        run.Handle(new RunEvent.Prepared(2, MachineRun.Proof with { Applied = 1, WeightsHash = "other" }));
        Assert.Empty(run.Effects.OfType<RunEffect.Refuse>());
    }

    [Fact]
    public void A_checkpoint_that_a_lost_worker_wrote_of_what_is_cut_up_anew_counts_no_more()
    {
        var run = MachineRun.Linked(2, options => options with { Checkpoint = options.Checkpoint with { EverySteps = 1 } });
        run.Handle(new RunEvent.CheckpointPublished(1, "1"));
        run.Report(0, 1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Handle(new RunEvent.Arrived(2, MachineRun.Hello(2) with { Number = 0, WasKilledForMemory = true }));
        run.Handle(new RunEvent.Linked(1, 3, 0, []));
        Assert.Contains(new RunEffect.DiscardFrom(1), run.Effects);
        run.Report(1, 1, "other");
        Assert.DoesNotContain(run.Effects, e => e is RunEffect.Discard);
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Pass(TimeSpan.FromMinutes(1));
        run.Handle(new RunEvent.Arrived(3, MachineRun.Hello(3)));
        Assert.Contains(run.Effects, e => e is RunEffect.Prepare { Worker: 3, Checkpoint: 0 });
    }

    [Fact]
    public void A_process_that_was_killed_with_the_smaller_ones_halves_them_again()
    {
        var run = MachineRun.Linked(1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        Assert.All(StartAgain(run, worker: 1, generation: 2), i => Assert.Equal(8, i.Operation.Geometry.Micro));
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        Assert.All(StartAgain(run, worker: 2, generation: 3), i => Assert.Equal(4, i.Operation.Geometry.Micro));
    }

    [Fact]
    public void A_process_that_was_killed_with_the_larger_ones_does_not_halve_the_smaller_ones()
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Handle(new RunEvent.OutOfMemory(0, 2, 1, "no memory left"));
        run.Handle(new RunEvent.Linked(0, 3, 0, []));
        run.Handle(new RunEvent.Arrived(2, MachineRun.Hello(1) with { WasKilledForMemory = true }));
        Assert.Empty(run.Effects.OfType<RunEffect.FormGeneration>());
    }

    [Fact]
    public void Of_a_kill_before_a_short_batch_the_full_size_is_halved_where_it_comes_next()
    {
        var run = BeforeTheShortBatch(micro: 16);
        Assert.Equal([new JournalEntry.Geometry(new GeometryChange(OperationKind.Evaluate, 4, 8), Since: 3, Operation: 5)], run.Effects.OfType<RunEffect.Write>().Select(e => e.Entry));
        Assert.Equal([(4UL, 16), (5UL, 8)], run.Effects.OfType<RunEffect.Issue>().Select(i => (i.Operation.Number, i.Operation.Geometry.Micro)));
        Assert.Contains(new RunEffect.DiscardFrom(5), run.Effects);
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "out-of-memory" } told && told.Sentence.Contains("From the evaluation after step 4 on a micro-batch holds at most 8 samples"));
    }

    [Fact]
    public void Where_nothing_comes_that_could_be_halved_it_is_said()
    {
        var run = BeforeTheShortBatch(micro: 20);
        Assert.Empty(run.Effects.OfType<RunEffect.Write>());
        Assert.Contains(run.Effects, e => e is RunEffect.Announce { Name: "out-of-memory" } told
            && told.Sentence.EndsWith("There is nothing to halve: no operation that comes has micro-batches of more than 10.", StringComparison.Ordinal));
        Assert.Equal([(4UL, 20), (5UL, 20)], run.Effects.OfType<RunEffect.Issue>().Select(i => (i.Operation.Number, i.Operation.Geometry.Micro)));
    }

    [Fact]
    public void Who_has_no_room_for_one_sample_is_lost_to_the_others()
    {
        var run = MachineRun.Linked(2, options => options with { Batch = options.Batch with { Micro = 1 } });
        run.Handle(new RunEvent.OutOfMemory(1, 1, 1, "no memory left"));
        Assert.Null(run.Outcome);
        Assert.Contains(run.Effects, e => e is RunEffect.Dismiss { Worker: 1, MayReturn: false });
        Assert.Equal([0], run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void One_that_halves_do_not_help_is_lost_where_the_others_get_on(bool othersGetOn)
    {
        var run = MachineRun.Linked(2);
        run.Handle(new RunEvent.OutOfMemory(1, 1, 1, "no memory left"));
        Link(run, generation: 2);
        run.Handle(new RunEvent.Heard(0, 1, othersGetOn ? 1 : 0));
        run.Handle(new RunEvent.OutOfMemory(1, 2, 1, "no memory left"));
        Assert.Equal(othersGetOn, run.Effects.Any(e => e is RunEffect.Dismiss { Worker: 1, MayReturn: true }));
        run.Handle(new RunEvent.Linked(1, 3, 0, []));
        run.Handle(new RunEvent.Linked(0, 3, 0, []));
        Assert.All(run.Effects.OfType<RunEffect.Issue>(), i => Assert.Equal(othersGetOn ? 8 : 4, i.Operation.Geometry.Micro));
    }

    [Fact]
    public void A_step_with_a_line_is_not_cut_up_anew_though_an_evaluation_before_it_has_none()
    {
        var memory = RunMemory.Of([new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.Generation(1, 0, 0)]) with { Checkpoint = 0, RecordedStep = 3 };
        var run = new MachineRun(workers: 1, EvaluateEveryStep, memory);
        Assert.NotEmpty(StartAgain(run, worker: 0, generation: 2));
        Assert.Contains(run.Effects, e => e is RunEffect.Write { Entry: JournalEntry.Geometry { Operation: 6, Change: { Kind: OperationKind.Evaluate, Step: 3 } } });
    }

    [Theory]
    [InlineData(2, true)]
    [InlineData(3, false)]
    public void Whether_a_state_is_cut_up_anew_is_told_by_steps_and_not_by_numbers_of_another_course(ulong applied, bool goesOn)
    {
        // That course had no evaluation after step 1.
        var halved = new JournalEntry.Geometry(new GeometryChange(OperationKind.Train, 2, 8), Since: 2, Operation: 2);
        var memory = RunMemory.Of([new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.Generation(2, 1, 0), halved]) with { Checkpoint = 0 };
        var run = new MachineRun(workers: 1, EvaluateEveryStep, memory);
        run.Handle(new RunEvent.Arrived(0, MachineRun.Hello(0) with { Offer = applied }));
        var reports = Enumerable.Range(1, (int)applied).Select(o => MachineRun.ReportOf((ulong)o)).ToList();
        run.Handle(new RunEvent.Kept(0, MachineRun.Proof with { Applied = applied, WeightsHash = $"{applied}" }, reports) { Generation = 1 });
        Assert.Equal(goesOn, run.Effects.Any(e => e is RunEffect.Announce { Name: "resumed" }));
    }

    [Fact]
    public void A_step_that_has_a_line_and_does_not_fit_ends_the_run_at_last_where_nobody_else_is_left()
    {
        var memory = RunMemory.Of([new JournalEntry.Reference(MachineRun.Proof), new JournalEntry.Generation(1, 0, 0)]) with { Checkpoint = 0, RecordedStep = 2 };
        var run = new MachineRun(workers: 1, memory: memory);
        for (var attempt = 1; attempt <= RunMachine.MaxRepeatedShortages; attempt++)
        {
            Assert.Null(run.Outcome);
            run.Pass(TimeSpan.FromMinutes(2));
            run.Arrive(attempt);
            run.Handle(new RunEvent.Prepared(attempt, MachineRun.Proof));
            run.Handle(new RunEvent.Linked(attempt, (ulong)attempt + 1, 0, []));
            run.Handle(new RunEvent.OutOfMemory(attempt, (ulong)attempt + 1, 1, "no memory left."));
        }

        Assert.Equal((false, "Step 1 was written down with micro-batches of 16 samples, which do not fit the memory of Worker 3 on host3 now: no memory left. "
            + "Resume where they do until step 2, or begin a new run with batch.micro=8."), (run.Outcome!.Success, run.Outcome.Sentence));
    }

    /// <summary>Worker 0 has applied and reported an operation, was killed, and the other, which has not come to it, has it cut up anew.</summary>
    private static MachineRun CutUpBehindAReport()
    {
        var run = MachineRun.Linked(2);
        run.Report(0, 1);
        run.Handle(new RunEvent.Gone(0, "its connection broke"));
        run.Handle(new RunEvent.Arrived(2, MachineRun.Hello(2) with { Number = 0, WasKilledForMemory = true }));
        run.Handle(new RunEvent.Linked(1, 3, 0, []));
        Assert.Equal([8, 8], run.Effects.OfType<RunEffect.Issue>().Select(i => i.Operation.Geometry.Micro));
        return run;
    }

    /// <summary>Steps of 32, 32, 32 and 4 samples, then an evaluation of 10: a process is killed after the third step.</summary>
    private static MachineRun BeforeTheShortBatch(int micro)
    {
        var run = MachineRun.Linked(2, options => options with { Batch = options.Batch with { Global = 32, Micro = micro } });
        foreach (var operation in new ulong[] { 1, 2, 3 })
        {
            run.Report(0, operation);
            run.Report(1, operation);
        }

        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Handle(new RunEvent.Arrived(2, MachineRun.Hello(1) with { WasKilledForMemory = true }));
        run.Handle(new RunEvent.Linked(0, 3, 3, []));
        return run;
    }

    /// <summary>The process of worker 0 was killed for memory, and the next one is all that the run has.</summary>
    private static List<RunEffect.Issue> StartAgain(MachineRun run, int worker, ulong generation)
    {
        run.Pass(TimeSpan.FromMinutes(2));
        run.Handle(new RunEvent.Arrived(worker, MachineRun.Hello(0) with { WasKilledForMemory = true }));
        run.Handle(new RunEvent.Prepared(worker, MachineRun.Proof));
        run.Handle(new RunEvent.Linked(worker, generation, 0, []));
        return [.. run.Effects.OfType<RunEffect.Issue>()];
    }

    private static RunOptions EvaluateEveryStep(RunOptions options) => options with { Evaluate = options.Evaluate with { EverySteps = 1 } };

    private static void Link(MachineRun run, ulong generation)
    {
        run.Handle(new RunEvent.Linked(0, generation, 0, []));
        run.Handle(new RunEvent.Linked(1, generation, 0, []));
    }
}
