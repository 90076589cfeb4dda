using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;

namespace DistTrain.Core.Tests.Membership;

/// <summary>What the machine makes of reported times and of heartbeats. Steps have 25 samples in 25 blocks.</summary>
public class RunMachinePlanningTests
{
    [Fact]
    public void Blocks_move_with_the_first_measurement_and_operations_handed_out_before_keep_their_plan()
    {
        var run = Linked(2);
        Assert.Equal([(1UL, 1UL)], run.All.OfType<RunEffect.SendPlan>().Select(e => (e.Plan.Number, e.From)));
        var (first, second) = (Complete(run, 1, [10, 10], [1, 90]), Complete(run, 2, [13, 12], [13, 36]));

        // The first step is warm-up, whatever it says. With the second it is known that worker 1 has a third of the speed: step 4 is the first that can be planned anew.
        Assert.Equal([3UL], first.OfType<RunEffect.Issue>().Select(e => e.Operation.Number));
        Assert.Empty(first.OfType<RunEffect.SendPlan>());
        var plan = second.OfType<RunEffect.SendPlan>().Single();
        var issue = second.OfType<RunEffect.Issue>().Single();
        Assert.Equal((4UL, 4UL, 2UL, 2UL), (plan.From, issue.Operation.Number, plan.Plan.Number, issue.Plan));
        Assert.True(second.IndexOf(plan) < second.IndexOf(issue));
        Assert.InRange(plan.Plan.Assignments[25][0].Count, 18, 20);
        Assert.Equal([1.0, 3.0], plan.SecondsPerSample);
        Assert.Equal([(1UL, 1UL), (2UL, 1UL), (3UL, 1UL), (4UL, 2UL)], run.All.OfType<RunEffect.Issue>().Select(e => (e.Operation.Number, e.Plan)));
    }

    [Fact]
    public void A_change_moves_blocks_two_steps_after_it_was_first_measured_and_one_outlier_does_not()
    {
        var run = Linked(2);
        for (var step = 1UL; step <= 4; step++)
        {
            Complete(run, step, [13, 12], [13, 12]);
        }

        Complete(run, 5, [13, 12], [13, 120]);
        Complete(run, 6, [13, 12], [13, 12]);
        Complete(run, 7, [13, 12], [13, 12]);
        Assert.Single(run.All.OfType<RunEffect.SendPlan>());
        Complete(run, 8, [13, 12], [13, 48]);
        Assert.Single(run.All.OfType<RunEffect.SendPlan>());
        Complete(run, 9, [13, 12], [13, 48]);
        Assert.Equal(11UL, run.All.OfType<RunEffect.SendPlan>().Last().From);
        Assert.InRange(run.All.OfType<RunEffect.SendPlan>().Last().Plan.Assignments[25][0].Count, 19, 21);
    }

    [Fact]
    public void An_evaluation_measures_nothing()
    {
        var run = Linked(1, o => o with { Evaluate = new EvaluateOptions { EverySteps = 1 } });
        Complete(run, 1, [25], [25]);
        Complete(run, 2, [10], [1000]);
        Complete(run, 3, [25], [25]);
        Complete(run, 4, [10], [1000]);
        run.Run.Handle(new RunEvent.LinkBroke(0, 1, 0, "x"));
        run.Run.Handle(new RunEvent.Linked(0, 2, 4, []));
        Assert.Equal([1.0], run.Run.Effects.OfType<RunEffect.SendPlan>().Single().SecondsPerSample);
    }

    [Fact]
    public void Speeds_survive_a_change_of_generation_and_recovery_goes_by_them()
    {
        var run = Linked(3);
        Complete(run, 1, [8, 9, 8], [8, 9, 8]);
        Complete(run, 2, [8, 9, 8], [8, 9, 32]);
        run.Run.Handle(new RunEvent.Gone(1, "its connection broke"));
        run.Run.Handle(new RunEvent.Linked(0, 2, 2, []));
        run.Run.Handle(new RunEvent.Linked(2, 2, 2, []));
        var plan = run.Run.Effects.OfType<RunEffect.SendPlan>().Single();
        Assert.Equal([1.0, 4.0], plan.SecondsPerSample);
        Assert.InRange(plan.Plan.Assignments[25][0].Count, 19, 21);
        var issues = run.Run.Effects.OfType<RunEffect.Issue>().ToList();
        Assert.All(issues, i => Assert.Equal(plan.Plan.Number, i.Plan));
        Assert.InRange(issues[0].Shares![0].Compute.Sum(r => r.Count), 19, 21);
    }

    [Fact]
    public void Who_has_no_blocks_is_tried_with_one_in_place_of_the_plan()
    {
        var run = Linked(2);
        Complete(run, 1, [13, 12], [0.013, 12]);
        Complete(run, 2, [13, 12], [0.013, 12]);
        Assert.Equal([25, 0], run.All.OfType<RunEffect.SendPlan>().Last().Plan.Assignments[25].Select(r => r.Count));
        Complete(run, 3, [13, 12], [0.013, 12]);
        run.Run.Now += TimeSpan.FromSeconds(39);
        Assert.Null(Complete(run, 4, [25, 0], [0.025, 0]).OfType<RunEffect.Issue>().Single().Shares);
        run.Run.Now += TimeSpan.FromSeconds(1);
        var trial = Complete(run, 5, [25, 0], [0.025, 0]).OfType<RunEffect.Issue>().Single();
        Assert.Equal([[new BlockRange(0, 24)], [new BlockRange(24, 25)]], trial.Shares!.Select(s => s.Compute));
        Assert.Null(Complete(run, 6, [25, 0], [0.025, 0]).OfType<RunEffect.Issue>().Single().Shares);
        var after = Complete(run, 7, [24, 1], [0.024, 0.001]);
        Assert.InRange(after.OfType<RunEffect.SendPlan>().Single().Plan.Assignments[25][1].Count, 12, 13);
    }

    [Fact]
    public void Who_lives_but_gets_stuck_in_a_block_is_left_behind_and_may_return()
    {
        var run = Linked(2);
        Complete(run, 1, [13, 12], [0.1, 0.1]);
        Hear(run, 0, 2, 13);
        Hear(run, 1, 2, 5);
        run.Run.Pass(TimeSpan.FromSeconds(1.9));
        Hear(run, 0, 2, 13);
        Hear(run, 1, 2, 5);
        run.Run.Pass(TimeSpan.FromSeconds(0.1));
        Assert.Empty(run.Run.Effects);
        run.Run.Pass(TimeSpan.FromSeconds(0.1));
        Assert.Contains(
            new RunEffect.Announce("lost", "Worker 1 on host1 (process 101) was lost: it made no progress for 2s."), run.Run.Effects);
        Assert.Contains(
            new RunEffect.Dismiss(1, Success: false, MayReturn: true, "It counts as lost: it made no progress for 2s."), run.Run.Effects);
        Assert.Equal([0], run.Run.Effects.OfType<RunEffect.FormGeneration>().Single().Members);

        // The next generation begins anew: nobody is judged by what was before.
        Hear(run, 0, 0, 0);
        run.Run.Pass(TimeSpan.FromSeconds(1.9));
        Assert.Empty(run.Run.Effects);
    }

    [Fact]
    public void In_its_first_step_a_worker_may_take_its_time()
    {
        var run = Linked(2);
        for (var second = 0; second < 100; second++)
        {
            Hear(run, 0, 1, 13);
            Hear(run, 1, 1, 0);
            run.Run.Pass(TimeSpan.FromSeconds(1));
            Assert.Empty(run.Run.Effects);
        }
    }

    [Fact]
    public void Of_losses_that_follow_each_other_only_what_is_left_in_the_end_is_planned()
    {
        var run = MachineRun.Linked(4);
        run.Handle(new RunEvent.Gone(1, "its connection broke"));
        Assert.Empty(run.Effects.OfType<RunEffect.SendPlan>());
        run.Handle(new RunEvent.Gone(2, "its connection broke"));
        Assert.Empty(run.Effects.OfType<RunEffect.SendPlan>());
        run.Handle(new RunEvent.Linked(0, 2, 0, []));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Linked(0, 3, 0, []));
        Assert.Empty(run.Effects);
        run.Handle(new RunEvent.Linked(3, 3, 0, []));
        var plan = run.Effects.OfType<RunEffect.SendPlan>().Single().Plan;
        Assert.Equal(2UL, plan.Number);
        Assert.All(plan.Assignments.Values, ranges => Assert.Equal(2, ranges.Count));
        Assert.Equal([plan.Number, plan.Number], run.Effects.OfType<RunEffect.Issue>().Select(i => i.Plan));
    }

    private static void Hear(Recorded run, int worker, ulong operation, int blocks) => run.Run.Handle(new RunEvent.Heard(worker, operation, blocks));

    /// <summary>All members report an operation.</summary>
    /// <returns>What follows from it.</returns>
    private static List<RunEffect> Complete(Recorded run, ulong operation, int[] blocks, double[] seconds)
    {
        var effects = new List<RunEffect>();
        for (var worker = 0; worker < blocks.Length; worker++)
        {
            run.Run.Handle(new RunEvent.Reported(worker, MachineRun.ReportOf(operation) with { Blocks = blocks[worker], ComputeSeconds = seconds[worker] }));
            effects.AddRange(run.Run.Effects);
        }

        run.All.AddRange(effects);
        return effects;
    }

    private static Recorded Linked(int workers, Func<RunOptions, RunOptions>? change = null)
    {
        RunOptions Change(RunOptions options)
        {
            var without = options with
            {
                Batch = options.Batch with { Micro = 1, Blocks = 64 },
                Stop = new StopOptions { Steps = 100 },
                Evaluate = new EvaluateOptions { EveryEpochs = 0 },
            };
            return change?.Invoke(without) ?? without;
        }

        var run = new MachineRun(workers, Change);
        var all = new List<RunEffect>();
        for (var worker = 0; worker < workers; worker++)
        {
            run.Arrive(worker);
        }

        run.PrepareAll();
        all.AddRange(run.Effects);
        for (var worker = 0; worker < workers; worker++)
        {
            run.Handle(new RunEvent.Linked(worker, 1, 0, []));
            all.AddRange(run.Effects);
        }

        return new Recorded(run, all);
    }

    /// <summary>A run and all that it decided since its workers were prepared.</summary>
    private sealed record Recorded(MachineRun Run, List<RunEffect> All);
}
