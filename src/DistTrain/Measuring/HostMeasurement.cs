using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Plans;

namespace DistTrain.Measuring;

/// <summary>What the largest of a number of workers held when it had carried out steps.</summary>
/// <param name="Workers">How many workers.</param>
/// <param name="Step">The steps.</param>
/// <param name="PeakBytes">The most it held.</param>
internal sealed record MeasuredPeak(int Workers, MeasuredStep Step, long PeakBytes);

/// <summary>What this host does with a run's steps, as measured by some of them.</summary>
/// <param name="Model">The model.</param>
/// <param name="Costs">What they cost, by rising numbers of workers.</param>
/// <param name="Peaks">What memory they took, likewise.</param>
/// <param name="Room">How many workers compute here without taking turns.</param>
internal sealed record HostMeasurement(MeasuredModel Model, IReadOnlyList<StepCost> Costs, IReadOnlyList<MeasuredPeak> Peaks, int Room)
{
    /// <summary>A new process compiles its methods twice, and its libraries plan their kernels, in the first dozens of operations.</summary>
    private const int WarmUps = 24;

    private const int Untimed = 2;
    private const int FewestTimed = 5;
    private const int MostTimed = 60;

    /// <summary>Micro-batches of a measured evaluation for each worker.</summary>
    private const int EvaluatedMicroBatches = 8;

    private static readonly TimeSpan WarmUpTime = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan StepTime = TimeSpan.FromSeconds(1.2);
    private static readonly TimeSpan TimedTime = TimeSpan.FromSeconds(6);

    /// <summary>How many workers compute on a host at the same time without taking turns.</summary>
    public static int RoomOf(int processors, int threads) => Math.Max(1, processors / threads);

    /// <summary>The numbers of workers that are measured for a plan of so many: one, two, and on a host with room for more the powers of two that are planned for.</summary>
    public static IReadOnlyList<int> LevelsOf(int workers, int room) =>
        [1, 2, .. Enumerable.Range(2, 10).Select(p => 1 << p).Where(n => n <= Math.Min(workers, room))];

    /// <summary>Measures.</summary>
    /// <param name="options">The run's configuration, with the data where they lie on this host, and micro-batches of a size.</param>
    /// <param name="plan">The run's plan.</param>
    /// <param name="most">The most workers that are planned for.</param>
    /// <param name="surroundings">The program, its environment and the clock; what takes its time is told on standard error.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="MeasureException">It cannot be measured.</exception>
    public static async Task<HostMeasurement> TakeAsync(RunOptions options, RunPlan plan, int most, Surroundings surroundings, CancellationToken cancellation)
    {
        var room = RoomOf(Environment.ProcessorCount, options.Threads);
        var levels = LevelsOf(most, room);
        using var group = await MeasuringGroup.StartAsync(options, levels[^1], surroundings, cancellation);
        var (costs, peaks) = (new List<StepCost>(), new List<MeasuredPeak>());
        foreach (var (index, workers) in levels.Index())
        {
            var left = (levels.Count - index) * (WarmUpTime + TimedTime + StepTime);
            surroundings.Error.WriteLine($"Measuring steps of {Views.Words.Count(workers, "worker")}, about {left.TotalSeconds:0} s left.");
            var (cost, peak) = await MeasureAsync(group, plan, workers, cancellation);
            costs.Add(cost);
            peaks.Add(peak);
        }

        return new HostMeasurement(group.Model, costs, peaks, room);
    }

    private static async Task<(StepCost Cost, MeasuredPeak Peak)> MeasureAsync(MeasuringGroup group, RunPlan plan, int workers, CancellationToken cancellation)
    {
        var (samples, geometry) = (plan.Full.Batch.Samples, plan.Geometry);
        await group.LinkAsync(workers, cancellation);

        // One micro-batch for each worker: the first alone says how many of them warm-up has time for.
        var small = MeasuredStep.Of(samples, geometry, workers, workers);
        var first = await RunAsync(small, false, 1);
        var warmUps = Math.Clamp((int)(WarmUpTime / first.Slowest(0)), 1, WarmUps);
        var warm = await RunAsync(small, false, warmUps);
        var perMicroBatch = warm.Slowest(warmUps / 2).TotalSeconds;
        var step = MeasuredStep.Of(samples, geometry, workers, Math.Max(workers, (long)(StepTime.TotalSeconds / perMicroBatch) * workers));
        var expected = Math.Max(1e-4, perMicroBatch * Math.Ceiling(new BatchPlan(step.Samples, step.Geometry).MicroBatches / (double)workers));
        var count = Math.Clamp((int)(TimedTime.TotalSeconds / expected), FewestTimed, MostTimed);
        var timed = await RunAsync(step, false, Untimed + count);
        var evaluated = plan.ValidationSamples == 0 ? 0 : await EvaluateAsync();
        var cost = new StepCost(
            workers,
            timed.Median(Untimed, ranks => ranks.Select((r, rank) => timed.Samples[rank] == 0 ? 0 : r.Compute / timed.Samples[rank]).Max()),
            timed.Median(Untimed, ranks => ranks.Min(r => r.Exchange)),
            timed.Median(Untimed, ranks => ranks.Max(r => r.Update)),
            evaluated);

        // Only the last of them has been in no smaller group before.
        return (cost, new MeasuredPeak(workers, step, timed.Runs[^1].PeakBytes));

        async Task<double> EvaluateAsync()
        {
            var part = MeasuredStep.Of(plan.ValidationSamples, geometry with { Global = plan.ValidationSamples }, workers, EvaluatedMicroBatches * workers);
            var run = await RunAsync(part, true, Untimed + 1);
            return run.Median(Untimed, ranks => ranks.Select((r, rank) => run.Samples[rank] == 0 ? 0 : r.Compute / run.Samples[rank]).Max());
        }

        async Task<Timing> RunAsync(MeasuredStep part, bool evaluates, int count)
        {
            var shape = StepPlan.Of(part.Samples, part.Geometry, workers);
            var runs = await group.RunAsync(part, evaluates, [.. shape.Ranks.Select(r => r.Blocks)], count, cancellation);
            return new Timing(runs, [.. shape.Ranks.Select(r => r.Samples)]);
        }
    }

    /// <summary>Operations as all ranks measured them.</summary>
    private sealed record Timing(IReadOnlyList<MeasuredRun> Runs, IReadOnlyList<long> Samples)
    {
        /// <summary>The middle one of the operations after the first ones.</summary>
        public double Median(int untimed, Func<IReadOnlyList<MeasuredOperation>, double> of)
        {
            var values = Enumerable.Range(untimed, Runs[0].Operations.Count - untimed).Select(i => of([.. Runs.Select(r => r.Operations[i])])).Order().ToList();
            return values.Count % 2 == 1 ? values[values.Count / 2] : (values[(values.Count / 2) - 1] + values[values.Count / 2]) / 2;
        }

        /// <summary>How long the slowest rank took for the middle one.</summary>
        public TimeSpan Slowest(int untimed) => TimeSpan.FromSeconds(Math.Max(1e-6, Median(untimed, ranks => ranks.Max(r => r.Total))));
    }
}
