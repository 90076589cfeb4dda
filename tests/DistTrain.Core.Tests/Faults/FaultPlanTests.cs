using CsCheck;
using DistTrain.Core.Faults;

namespace DistTrain.Core.Tests.Faults;

/// <summary>A plan of faults is read whole or not at all, and drawn from its seed alone.</summary>
public sealed class FaultPlanTests
{
    private const int Workers = 4;

    [Fact]
    public void Every_kind_is_read_and_stands_in_the_order_of_the_steps()
    {
        var plan = Read(
            ("seed", "7"),
            ("faults.1.kill.worker", "2"), ("faults.1.kill.step", "40"), ("faults.1.kill.block", "3"), ("faults.1.kill.members", "4"),
            ("faults.2.killAll.step", "95"),
            ("faults.3.pause.worker", "1"), ("faults.3.pause.step", "55"), ("faults.3.pause.for", "3s"),
            ("faults.4.join.step", "70"),
            ("faults.5.leave.worker", "4"), ("faults.5.leave.step", "80"),
            ("faults.6.cutLink.workers", "0, 1"), ("faults.6.cutLink.step", "20"),
            ("faults.7.restartCoordinator.step", "90"),
            ("faults.10.fullDisk.step", "95"), ("faults.10.fullDisk.steps", "5"));

        Assert.Equal(7ul, plan.Seed);
        Assert.Equal(
            [
                new Fault { Id = 1, Kind = FaultKind.CutLink, Worker = 0, Peer = 1, Step = 20 },
                new Fault { Id = 2, Kind = FaultKind.Kill, Worker = 2, Step = 40, Block = 3, Members = 4 },
                new Fault { Id = 3, Kind = FaultKind.Pause, Worker = 1, Step = 55, For = TimeSpan.FromSeconds(3) },
                new Fault { Id = 4, Kind = FaultKind.Join, Step = 70 },
                new Fault { Id = 5, Kind = FaultKind.Leave, Worker = 4, Step = 80 },
                new Fault { Id = 6, Kind = FaultKind.RestartCoordinator, Step = 90 },
                new Fault { Id = 7, Kind = FaultKind.KillAll, Step = 95 },
                new Fault { Id = 8, Kind = FaultKind.FullDisk, Step = 95, Steps = 5 },
            ],
            plan.Faults);
        Assert.Equal([2], plan.OfWorker(2).Select(f => f.Id));
        Assert.Equal([6, 8], plan.OfCoordinator.Select(f => f.Id));
        Assert.Equal([4, 7], plan.OfLauncher.Select(f => f.Id));
    }

    [Fact]
    public void All_mistakes_are_reported_at_once()
    {
        var (_, problems) = FaultPlanReader.Read(
            new Dictionary<string, string>
            {
                ["sed"] = "7",
                ["faults.1.kill.worker"] = "4",
                ["faults.1.kill.step"] = "3",
                ["faults.2.pause.worker"] = "x",
                ["faults.2.pause.step"] = "0",
                ["faults.3.murder.step"] = "1",
                ["faults.4.cutLink.workers"] = "1, 1",
                ["faults.4.cutLink.step"] = "5",
                ["faults.5.killAll"] = "5",
                ["faults.6.kill.worker"] = "1",
                ["faults.6.kill.step"] = "1",
                ["faults.6.leave.worker"] = "1",
                ["faults.7.random.count"] = "3",
                ["faults.7.random.from"] = "9",
                ["faults.7.random.to"] = "8",
                ["faults.7.random.kinds"] = "kill, fullDisk",
                ["faults.7.random.for"] = "0s",
                ["faults.8.kill.worker"] = "1",
                ["faults.8.kill.step"] = "1",
                ["faults.8.kill.blok"] = "1",
            },
            Workers);
        Assert.Equal(
            [
                "sed is '7': no such key; see disttrain train --help (the nearest is seed).",
                "faults.2.pause.for is not set: set it to how long it is stopped, such as 3s.",
                "faults.2.pause.worker is 'x': must be a whole number between 0 and 4095.",
                "faults.2.pause.step is '0': must be between 1 and 1000000000000.",
                "faults.3 is 'murder': no such kind of fault; the kinds are kill, pause, leave, join, cutLink, restartCoordinator, killAll, fullDisk, random.",
                "faults.4.cutLink.workers is '1, 1': must be the numbers of two workers, such as [0, 1].",
                "faults.5.killAll is '5': holds keys of its own; write - killAll: { step: 40 } with the keys of that kind.",
                "faults.6 is 'kill, leave': must hold one kind; give each fault an entry of its own.",
                "faults.7.random.to is '8': must be 9 or more, as from is 9.",
                "faults.7.random.kinds is 'kill, fullDisk': must be a list of kill, pause, leave, join, cutLink, restartCoordinator, killAll.",
                "faults.7.random.for is '0ms': must be longer than 0s and at most 1h.",
                "faults.8.kill.blok is '1': no such key; see disttrain train --help (the nearest is faults.8.kill.block).",
                "faults.1.kill.worker is '4': the run has workers 0 to 3; name one of them.",
            ],
            problems.Select(p => $"{p}"));
    }

    [Fact]
    public void A_plan_that_is_no_list_says_what_one_looks_like()
    {
        var (_, problems) = FaultPlanReader.Read(new Dictionary<string, string> { ["faults"] = "kill" }, Workers);
        Assert.Equal(["faults is 'kill': must be a list of faults, such as - kill: { worker: 1, step: 40 }."], problems.Select(p => $"{p}"));
    }

    [Fact]
    public void Drawing_is_a_function_of_seed_and_counts_alone() => (
        from seed in Gen.ULong
        from workers in Gen.Int[1, 8]
        from count in Gen.Int[1, 60]
        from members in Gen.Int[0, workers]
        select (seed, workers, count, members)).Always(drawn =>
    {
        var (seed, workers, count, members) = drawn;
        var plan = Random(seed, workers, count, members);
        Assert.Equal(plan.Faults, Random(seed, workers, count, members).Faults);
        Assert.Equal(Enumerable.Range(1, count), plan.Faults.Select(f => f.Id));
        Assert.All(plan.Faults, f => Assert.InRange(f.Step, 10, 200));
        Assert.Equal(plan.Faults.Select(f => f.Step).Order(), plan.Faults.Select(f => f.Step));

        // Somebody stays, and nothing is done to who has left or has not come yet. None waits for more workers than there are.
        var staying = Enumerable.Range(0, workers).ToHashSet();
        var started = workers;
        foreach (var fault in plan.Faults)
        {
            Assert.True(fault.Worker < 0 || staying.Contains(fault.Worker), $"{fault}");
            Assert.True(fault.Peer < 0 || (staying.Contains(fault.Peer) && fault.Peer != fault.Worker), $"{fault}");
            if (fault.Kind == FaultKind.Leave)
            {
                staying.Remove(fault.Worker);
            }
            else if (fault.Kind == FaultKind.Join)
            {
                staying.Add(started++);
            }

            Assert.NotEmpty(staying);
            Assert.InRange(fault.Members, 0, staying.Count);
        }
    });

    [Fact]
    public void Another_seed_is_another_plan_and_every_kind_is_drawn()
    {
        Assert.NotEqual(Random(1, Workers, 20).Faults, Random(2, Workers, 20).Faults);
        Assert.Equal(7, Random(1, Workers, 200).Faults.Select(f => f.Kind).Distinct().Count());
    }

    [Theory]
    [InlineData(40, 4, 3, false, true)]
    [InlineData(40, 4, 2, false, false)]
    [InlineData(40, 4, 2, true, true)]
    [InlineData(41, 4, 3, false, true)]
    [InlineData(39, 4, 3, true, false)]
    [InlineData(40, 3, 3, true, false)]
    public void A_fault_is_due_from_its_block_on_or_after_the_last_and_once_enough_take_part(long step, int members, int blocks, bool last, bool due) =>
        Assert.Equal(due, new Fault { Step = 40, Block = 3, Members = 4 }.IsDue(new FaultPoint(step, members, blocks, last)));

    private static FaultPlan Random(ulong seed, int workers, int count, int members = 0)
    {
        var (plan, problems) = FaultPlanReader.Read(
            new Dictionary<string, string>
            {
                ["seed"] = $"{seed}",
                ["faults.1.random.count"] = $"{count}",
                ["faults.1.random.from"] = "10",
                ["faults.1.random.to"] = "200",
                ["faults.1.random.members"] = $"{members}",
                ["faults.1.random.kinds"] = "kill, pause, leave, join, cutLink, restartCoordinator, killAll",
            },
            workers);
        Assert.Empty(problems);
        return plan;
    }

    private static FaultPlan Read(params (string Key, string Value)[] values)
    {
        var (plan, problems) = FaultPlanReader.Read(values.ToDictionary(v => v.Key, v => v.Value), Workers);
        Assert.Empty(problems);
        return plan;
    }
}
