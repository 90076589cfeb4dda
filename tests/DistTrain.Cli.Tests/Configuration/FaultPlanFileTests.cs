using DistTrain.Configuration;

namespace DistTrain.Cli.Tests.Configuration;

/// <summary>A plan of faults as people write it.</summary>
public sealed class FaultPlanFileTests
{
    [Fact]
    public void A_plan_is_written_as_it_is_read()
    {
        const string text = """
            # what was done to this run on purpose; give it to train --faults to do it again
            seed: 7
            faults:
              - kill: { worker: 2, step: 40, block: 3 }
              - pause: { worker: 1, step: 55, for: 3s, members: 4 }
              - leave: { worker: 0, step: 60 }
              - join: { step: 70 }
              - cutLink: { workers: [0, 1], step: 80 }
              - restartCoordinator: { step: 90 }
              - killAll: { step: 95 }
              - fullDisk: { step: 100, steps: 5 }

            """;
        var (plan, problems) = FaultPlanFile.Parse(text, "plan.yaml", workers: 4);
        Assert.Empty(problems);
        Assert.Equal(text, plan!.Write());
    }

    [Fact]
    public void What_was_drawn_is_written_out_and_repeats_without_drawing()
    {
        var (drawn, problems) = FaultPlanFile.Parse("seed: 3\nfaults:\n  - random: { count: 20, from: 10, to: 200, kinds: [kill, pause, leave, join] }\n", "plan.yaml", workers: 4);
        Assert.Empty(problems);
        Assert.DoesNotContain("random", drawn!.Write(), StringComparison.Ordinal);
        var (again, none) = FaultPlanFile.Parse(drawn.Write(), "faults.yaml", workers: 4);
        Assert.Empty(none);
        Assert.Equal(drawn.Faults, again!.Faults);
    }

    [Fact]
    public void Every_mistake_is_named_with_its_line()
    {
        const string text = """
            seed: soon
            faults:
              - kill: { worker: 9, step: 40 }
              - pause: { worker: 1 }
              - kill: { worker: 1, step: 1, step: 2 }
              - [kill]
              - explode
            """;
        var (plan, problems) = FaultPlanFile.Parse(text, "plan.yaml", workers: 2);
        Assert.Null(plan);
        Assert.Equal(
            [
                "plan.yaml, line 5, column 33: faults.3.kill.step is already set on line 5; keep one of the two.",
                "plan.yaml, line 6, column 5: faults.4 is a list where one value belongs; keep one of its entries.",
                "plan.yaml, line 2: faults is 'explode': must be a list of faults, such as - kill: { worker: 1, step: 40 }.",
                "plan.yaml, line 1: seed is 'soon': must be a whole number, 0 or more.",
                "plan.yaml, line 4: faults.2.pause.for is not set: set it to how long it is stopped, such as 3s.",
                "plan.yaml, line 4: faults.2.pause.step is not set: set it to the step at which it happens, from 1.",
                "plan.yaml, line 3: faults.1.kill.worker is '9': the run has workers 0 to 1; name one of them.",
            ],
            problems);
    }

    [Theory]
    [InlineData("nosuch.yaml", "does not exist")]
    [InlineData(".", "is a folder")]
    [InlineData("", "is empty")]
    public async Task A_file_that_is_none_is_bad_usage(string path, string what)
    {
        using var folder = new TempFolder();
        Assert.Equal(
            (2, "", $"error: --faults '{path}' {what}: give the path of a YAML file with a plan of faults.\n"),
            await Cli.RunAsync("train", "--faults", path, "--out", folder["run"]));
        Assert.False(Path.Exists(folder["run"]));
    }
}
