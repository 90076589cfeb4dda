using DistTrain.Core.Membership;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Membership;

/// <summary>What events cost in a run of a thousand workers, counted in looks at one of them, whatever the machine that counts.</summary>
public class RunMachineScaleTests
{
    private const int Workers = 1000;

    [Fact]
    public void A_report_or_a_heartbeat_costs_no_look_at_the_other_workers()
    {
        var run = Linked();
        for (var worker = 0; worker < Workers - 1; worker++)
        {
            Assert.InRange(LooksOf(run, new RunEvent.Reported(worker, MachineRun.ReportOf(1))), 1, 5);
            Assert.InRange(LooksOf(run, new RunEvent.Heard(worker, 2, 0)), 1, 5);
        }

        // The last one completes the step, and what all of them said is looked at.
        Assert.InRange(LooksOf(run, new RunEvent.Reported(Workers - 1, MachineRun.ReportOf(1))), Workers, 10 * Workers);
        Assert.Contains(run.Effects, e => e is RunEffect.Issue { Operation.Number: 3 });
    }

    [Fact]
    public void A_link_costs_no_look_at_the_other_workers_but_for_the_first_which_makes_the_plan()
    {
        var run = MachineRun.Prepared(Workers, Options);
        Assert.InRange(LooksOf(run, new RunEvent.Linked(0, 1, 0, [])), Workers, 3 * Workers);
        for (var worker = 1; worker < Workers - 1; worker++)
        {
            Assert.InRange(LooksOf(run, new RunEvent.Linked(worker, 1, 0, [])), 1, 5);
        }

        run.Handle(new RunEvent.Linked(Workers - 1, 1, 0, []));
        Assert.Equal(2, run.Effects.OfType<RunEffect.Issue>().Count());
    }

    [Fact]
    public void Who_joins_while_others_train_costs_a_look_at_each_of_them_and_no_more()
    {
        const int Joiners = 100;
        var run = Linked();
        var sources = new HashSet<int>();
        for (var worker = Workers; worker < Workers + Joiners; worker++)
        {
            Assert.InRange(LooksOf(run, new RunEvent.Arrived(worker, MachineRun.Hello(worker))), Workers, 4 * (Workers + Joiners));
            sources.Add(run.Effects.OfType<RunEffect.Learn>().Single().Source);
        }

        // Nobody is copied from twice while there are others; the last ranks come first.
        Assert.Equal(Enumerable.Range(Workers - Joiners, Joiners), sources.Order());
    }

    [Fact]
    public void A_loss_costs_a_few_looks_at_each()
    {
        var run = Linked();
        Assert.InRange(LooksOf(run, new RunEvent.Gone(500, "its connection broke")), Workers - 1, 10 * Workers);
        Assert.Equal(Workers - 1, run.Effects.OfType<RunEffect.FormGeneration>().Single().Members.Count);
    }

    private static long LooksOf(MachineRun run, RunEvent happened)
    {
        var before = run.Looks;
        run.Handle(happened);
        return run.Looks - before;
    }

    private static MachineRun Linked() => MachineRun.Linked(Workers, Options);

    private static RunOptions Options(RunOptions options) => options with
    {
        Batch = new BatchOptions { Global = 4 * Workers, Micro = 1, Blocks = 2 * Workers },
        Stop = new StopOptions { Steps = 100 },
    };
}
