using System.Diagnostics;
using CsCheck;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;

namespace DistTrain.Core.Tests.Planning;

public class BlockPlannerTests
{
    /// <summary>Speeds that differ by up to a factor of a thousand.</summary>
    private static readonly Gen<double> Seconds = Gen.Double[-1.5, 1.5].Select(exponent => Math.Pow(10, exponent));

    private static readonly Gen<double> CoverSeconds = Gen.OneOf(Gen.Const(0.0), Seconds);

    [Fact]
    public void Every_block_is_given_to_exactly_one_worker() =>
        Gen.Select(Gen.Int[1, 400], Seconds.Array[1, 30], CoverSeconds).Always(
            (blocks, seconds, coverSeconds) =>
            {
                var end = 0;
                foreach (var range in Plan(blocks, seconds, coverSeconds))
                {
                    Assert.Equal(end, range.First);
                    Assert.True(range.Count >= 0);
                    end = range.End;
                }

                Assert.Equal(blocks, end);
            },
            samples: 60);

    [Fact]
    public void A_power_of_two_of_equal_workers_gets_aligned_single_nodes()
    {
        foreach (var blocks in new[] { 64, 128, 4096, 65_536 })
        {
            var tree = new ReductionTree(blocks);
            for (var workers = 1; workers <= 64; workers *= 2)
            {
                foreach (var coverSeconds in new[] { 0, 0.01, 100 })
                {
                    var plan = Plan(blocks, Equal(workers), coverSeconds);
                    Assert.All(plan, range => Assert.Equal(blocks / workers, range.Count));
                    Assert.All(plan, range => Assert.Equal(1, tree.CoverCount(range.First, range.End)));
                }
            }
        }
    }

    [Fact]
    public void No_plan_of_a_small_operation_is_faster() =>
        Gen.Select(Gen.Int[1, 12], Seconds.Array[1, 4], CoverSeconds).Always((blocks, seconds, coverSeconds) =>
            Assert.Equal(
                BruteForce(new ReductionTree(blocks), 0, seconds, coverSeconds),
                Makespan(blocks, seconds, coverSeconds), 1e-9));

    [Fact]
    public void A_plan_is_within_one_block_and_one_cover_of_the_proportional_ideal() =>
        Gen.Select(Gen.Int[1, 5000], Seconds.Array[1, 60], CoverSeconds).Always((blocks, seconds, coverSeconds) =>
        {
            var ideal = blocks / seconds.Sum(s => 1 / s);
            var cover = Math.Max(0, 2 * new ReductionTree(blocks).Root.Level - 1) * coverSeconds;
            Assert.InRange(
                Makespan(blocks, seconds, coverSeconds),
                ideal * 0.999999,
                (ideal + seconds.Max() + cover) * 1.000001);
        });

    [Fact]
    public void Large_operations_are_cut_where_dear_nodes_are_saved()
    {
        // A third of 65536 blocks is 21845.3; covers there have up to 20 nodes. The exact search is out of reach, the
        // cuts worth taking are hundreds of blocks away.
        const int Blocks = 65_536;
        Assert.InRange(Makespan(Blocks, Equal(3), 300), Blocks / 3, Blocks / 3 + 1500);
        Assert.InRange(Makespan(Blocks, Equal(3), 0), Blocks / 3, Blocks / 3 + 1);
    }

    [Fact]
    public void The_search_near_the_optimum_is_hardly_slower_than_the_exact_one() =>
        Gen.Select(Gen.Int[180, 220], Seconds.Array[2, 6], CoverSeconds).Always(
            (blocks, seconds, coverSeconds) =>
            {
                // Workers that are too slow to be given a block push the problem past the limit of the exact search and
                // keep its optimum.
                var exact = Makespan(blocks, seconds, coverSeconds);
                var padded = seconds.Concat(Enumerable.Repeat(1e6, 200)).ToArray();
                Assert.InRange(Makespan(blocks, padded, coverSeconds), exact * 0.999999, exact * 1.1);
            },
            samples: 30);

    [Fact]
    public void More_workers_than_blocks_leave_the_others_idle()
    {
        var plan = Plan(5, Equal(9), 0.1);
        Assert.Equal(5, plan.Count(r => r.Count == 1));
        Assert.Equal(4, plan.Count(r => r.Count == 0));
    }

    [Fact]
    public void Workers_too_slow_to_help_get_no_block()
    {
        // Cuts in proportion to speed would give a third of the blocks to 200 workers that each need longer for one
        // than the last for all.
        double[] seconds = [.. Enumerable.Repeat(100.0, 200), 1];
        Assert.Equal(new BlockRange(0, 64), Plan(64, seconds, 0)[^1]);
        Assert.Equal(640, Makespan(640, [.. Enumerable.Repeat(1e4, 200), 1], 0));
    }

    [Fact]
    public void A_worker_of_half_the_speed_gets_half_the_blocks()
    {
        Assert.Equal([16, 32, 16], Plan(64, [2, 1, 2], 0).Select(r => r.Count));
        Assert.Equal([8, 16, 16, 24], Plan(64, [3, 1.5, 1.5, 1], 0).Select(r => r.Count));
    }

    [Fact]
    public void No_plan_is_faster_than_the_least_time_and_without_exchange_one_is_as_fast() =>
        Gen.Select(Gen.Int[1, 40], Gen.Double[0.1, 10].Array[1, 12], Gen.Double[0, 2]).Sample((blocks, seconds, perNode) =>
        {
            var workers = seconds.Select(s => new WorkerSpeed(s)).ToArray();
            var least = BlockPlanner.LeastTime(blocks, workers);
            return least <= BlockPlanner.Predict(blocks, BlockPlanner.Plan(blocks, workers, perNode), workers, perNode)
                && least == BlockPlanner.Predict(blocks, BlockPlanner.Plan(blocks, workers, 0), workers, 0);
        });

    [Fact]
    public void A_thousand_workers_are_planned_in_no_time()
    {
        var seconds = Enumerable.Range(0, 1000).Select(rank => 1 + rank % 7 / 10.0).ToArray();
        var clock = Stopwatch.StartNew();
        Plan(64, seconds, 0.05);
        Plan(65_536, seconds, 0.05);
        Plan(65_536, seconds, 1000);

        // Some tenths of a second; a planner that looks at every pair of workers and blocks would take minutes.
        Assert.InRange(clock.Elapsed.TotalSeconds, 0, 30);
    }

    [Fact]
    public void A_plan_is_a_pure_function() =>
        Gen.Select(Gen.Int[1, 300], Seconds.Array[1, 20], CoverSeconds).Always(
            (blocks, seconds, coverSeconds) =>
                Assert.Equal(Plan(blocks, seconds, coverSeconds), Plan(blocks, seconds, coverSeconds)),
            samples: 10);

    [Theory]
    [InlineData(0, 1, 0)]
    [InlineData(1, 0, 0)]
    [InlineData(1, -1, 0)]
    [InlineData(1, double.NaN, 0)]
    [InlineData(1, double.PositiveInfinity, 0)]
    [InlineData(1, 1, -1)]
    [InlineData(1, 1, double.NaN)]
    public void Impossible_measurements_are_refused(int blocks, double seconds, double coverSeconds) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Plan(blocks, [seconds], coverSeconds));

    [Fact]
    public void Nobody_to_plan_for_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Plan(1, [], 0));

    private static double[] Equal(int workers) => [.. Enumerable.Repeat(1.0, workers)];

    private static IReadOnlyList<BlockRange> Plan(int blocks, double[] seconds, double secondsPerCoverNode) =>
        BlockPlanner.Plan(blocks, [.. seconds.Select(s => new WorkerSpeed(s))], secondsPerCoverNode);

    private static double Makespan(int blocks, double[] seconds, double secondsPerCoverNode)
    {
        var tree = new ReductionTree(blocks);
        return Plan(blocks, seconds, secondsPerCoverNode)
            .Zip(seconds, (range, s) => Time(tree, range.First, range.End, s, secondsPerCoverNode)).Max();
    }

    private static double Time(ReductionTree tree, int first, int end, double seconds, double secondsPerCoverNode) =>
        (end - first) * seconds + Math.Max(0, tree.Cover(first, end).Count - 1) * secondsPerCoverNode;

    private static double BruteForce(
        ReductionTree tree, int first, ReadOnlySpan<double> seconds, double secondsPerCoverNode)
    {
        if (seconds.Length == 1)
        {
            return Time(tree, first, tree.Blocks, seconds[0], secondsPerCoverNode);
        }

        var best = double.PositiveInfinity;
        for (var cut = first; cut <= tree.Blocks; cut++)
        {
            var rest = BruteForce(tree, cut, seconds[1..], secondsPerCoverNode);
            best = Math.Min(best, Math.Max(rest, Time(tree, first, cut, seconds[0], secondsPerCoverNode)));
        }

        return best;
    }
}
