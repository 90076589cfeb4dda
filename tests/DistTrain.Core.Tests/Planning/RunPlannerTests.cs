using CsCheck;
using DistTrain.Core.Planning;

namespace DistTrain.Core.Tests.Planning;

public class RunPlannerTests
{
    private static readonly Gen<double> Seconds = Gen.Double[-1.5, 1.5].Select(exponent => Math.Pow(10, exponent));

    [Fact]
    public void Unmeasured_members_get_equal_parts()
    {
        var planner = new RunPlanner([64, 3], 640);
        var plan = planner.Begin(Times(null, null));
        Assert.Equal((1UL, plan), (plan.Number, planner.Plan));
        Assert.Equal([32, 32], Counts(plan.Assignments[64]));
        Assert.Equal(3, plan.Assignments[3].Sum(r => r.Count));
        Assert.Null(planner.Improve(Times(null, null)));
    }

    [Fact]
    public void A_worker_of_a_third_of_the_speed_gets_a_third_as_many_blocks()
    {
        var planner = new RunPlanner([64], 640);
        planner.Begin(Times(null, null));
        var plan = planner.Improve(Times(0.001, 0.003))!;
        Assert.Equal(2UL, plan.Number);
        Assert.Equal([48, 16], Counts(plan.Assignments[64]));
    }

    [Fact]
    public void After_a_change_of_speeds_the_plan_is_nearly_the_best_and_stays() =>
        Gen.Select(Gen.Int[1, 100], Seconds.Array[1, 8], Seconds.Array[8]).Always((blocks, before, after) =>
        {
            var planner = new RunPlanner([blocks], blocks);
            planner.Begin(Times([.. before.Select(s => (double?)s)]));
            var now = Times([.. after.Take(before.Length).Select(s => (double?)s)]);
            var old = planner.Plan;
            var plan = planner.Improve(now);
            Assert.Equal(old.Number + (plan is null ? 0UL : 1UL), planner.Plan.Number);

            // One cover node of the unmeasured exchange is a hundredth of the fastest worker's block.
            var speeds = after.Take(before.Length).Select(s => new WorkerSpeed(s)).ToList();
            var perNode = 0.01 * speeds.Min(s => s.SecondsPerBlock);
            var best = BlockPlanner.Predict(blocks, BlockPlanner.Plan(blocks, speeds, perNode), speeds, perNode);
            Assert.InRange(BlockPlanner.Predict(blocks, planner.Plan.Assignments[blocks], speeds, perNode), best * 0.999999, best / (1 - RunPlanner.Gain) * 1.000001);
            Assert.Null(planner.Improve(now));
        });

    [Fact]
    public void Differences_of_some_per_cent_move_nothing() =>
        Gen.Double[0.98, 1.02].Array[4].Array[30].Always(steps =>
        {
            var planner = new RunPlanner([64], 640);
            planner.Begin(Times(1, 1, 1, 1));
            Assert.All(steps, step => Assert.Null(planner.Improve(Times([.. step.Select(s => (double?)s)]))));
        }, samples: 20);

    [Fact]
    public void Who_was_not_measured_counts_as_the_others_on_average_and_not_as_the_slowest()
    {
        var planner = new RunPlanner([64], 640);
        Assert.All(Counts(planner.Begin(Times(1, 1, null)).Assignments[64]), count => Assert.InRange(count, 20, 22));
        var counts = Counts(planner.Begin(Times(1, 1000, null)).Assignments[64]);
        Assert.InRange(counts[2], 19, 24);
    }

    [Fact]
    public void Who_is_too_slow_for_one_block_gets_none_and_is_tried_with_one_now_and_then()
    {
        var planner = new RunPlanner([8], 8);
        var times = Times(1, 20, 1);
        Assert.Equal([4, 0, 4], Counts(planner.Begin(times).Assignments[8]));
        Assert.Null(planner.Trial(8, times, TimeSpan.FromSeconds(799)));
        var shares = planner.Trial(8, times, TimeSpan.FromSeconds(800))!;
        Assert.Equal([new BlockRange(0, 3), new BlockRange(3, 4), new BlockRange(4, 8)], shares.Select(s => s.Compute.Single()));
        Assert.Equal([4, 0, 4], Counts(planner.Plan.Assignments[8]));

        // Not again before as much time has passed; and when it proves fast, it gets its part.
        Assert.Null(planner.Trial(8, times, TimeSpan.FromSeconds(1599)));
        Assert.NotNull(planner.Trial(8, times, TimeSpan.FromSeconds(1600)));
        times[1].Take(0, 0, TimeSpan.Zero);
        times[1].Take(1, 1, TimeSpan.FromSeconds(1601));
        Assert.DoesNotContain(0, Counts(planner.Improve(times)!.Assignments[8]));
    }

    [Fact]
    public void A_trial_is_an_exact_partition_and_takes_nobodys_only_block() =>
        Gen.Select(Gen.Int[1, 40], Seconds.Array[2, 8]).Always((blocks, seconds) =>
        {
            var planner = new RunPlanner([blocks], blocks);
            var times = Times([.. seconds.Select(s => (double?)s)]);
            var before = Counts(planner.Begin(times).Assignments[blocks]);
            if (planner.Trial(blocks, times, TimeSpan.FromDays(30)) is not { } shares)
            {
                Assert.True(before.All(c => c > 0) || Isolated(before));
                return;
            }

            Assert.Equal(Enumerable.Range(0, blocks), shares.SelectMany(s => s.Compute).SelectMany(r => Enumerable.Range(r.First, r.Count)));
            var after = shares.Select(s => s.Compute.Sum(r => r.Count)).ToList();
            Assert.Equal(before.Count(c => c == 0) - 1, after.Count(c => c == 0));
            Assert.Equal(2, before.Zip(after).Count(c => c.First != c.Second));
        });

    [Fact]
    public void A_dear_exchange_is_measured_at_who_waited_least_and_makes_for_aligned_ranges()
    {
        var planner = new RunPlanner([64], 64);
        var times = Times(1, 1, 1);
        Assert.DoesNotContain(16, Counts(planner.Begin(times).Assignments[64]));

        // Half of 6 seconds a node would make it 32, 16 and 16; a tenth of the step's 21 at most is counted.
        planner.TakeExchange([6, 30]);
        planner.TakeExchange([40, 6]);
        planner.TakeExchange([500, 400]);
        var ranges = planner.Begin(times).Assignments[64];
        Assert.All(ranges, r => Assert.Equal(0, r.First % 4));
        Assert.InRange(ranges.Max(r => r.Count), 22, 24);
        planner.TakeExchange([double.NaN, 1]);
        Assert.Equal(ranges, planner.Begin(times).Assignments[64]);
    }

    [Fact]
    public void Numbers_only_rise()
    {
        var planner = new RunPlanner([64], 640);
        var numbers = new List<ulong> { planner.Begin(Times(1, 1)).Number };
        numbers.Add(planner.Improve(Times(1, 3))!.Number);
        numbers.Add(planner.Begin(Times(1, 3, null)).Number);
        numbers.Add(planner.Improve(Times(3, 1, 3))!.Number);
        Assert.Equal([1UL, 2UL, 3UL, 4UL], numbers);
    }

    /// <summary>Whether all who have no block have neighbours with a single one.</summary>
    private static bool Isolated(IReadOnlyList<int> counts) =>
        Enumerable.Range(0, counts.Count).Where(i => counts[i] == 0).All(i =>
            counts.Take(i).LastOrDefault(c => c > 0, 1) == 1 && counts.Skip(i).FirstOrDefault(c => c > 0, 1) == 1);

    private static List<int> Counts(IReadOnlyList<BlockRange> ranges) => [.. ranges.Select(r => r.Count)];

    private static List<SampleTime> Times(params double?[] seconds) => [.. seconds.Select(s =>
    {
        var time = new SampleTime();
        for (var step = 0; s is not null && step < 4; step++)
        {
            time.Take(1, s.Value, TimeSpan.Zero);
        }

        return time;
    })];
}
