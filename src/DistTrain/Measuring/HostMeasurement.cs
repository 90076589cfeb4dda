using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Plans;
using DistTrain.Views;

namespace DistTrain.Measuring;

/// <summary>What the largest of a number of workers held when it had carried out steps and sent a checkpoint.</summary>
/// <param name="Workers">How many workers.</param>
/// <param name="Step">The steps.</param>
/// <param name="PeakBytes">The most it held.</param>
internal sealed record MeasuredPeak(int Workers, MeasuredStep Step, long PeakBytes);

/// <summary>What this host does with a run's steps, as measured with some numbers of workers.</summary>
/// <param name="Model">The model.</param>
/// <param name="Costs">What they cost, by rising numbers of workers.</param>
/// <param name="Peaks">What memory they took, likewise.</param>
/// <param name="Room">How many workers compute here without taking turns.</param>
internal sealed record HostMeasurement(MeasuredModel Model, IReadOnlyList<StepCost> Costs, IReadOnlyList<MeasuredPeak> Peaks, int Room)
{
    /// <summary>A step that takes longer is measured in part.</summary>
    private static readonly TimeSpan LongestStep = TimeSpan.FromSeconds(1);

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
        var (samples, micro) = (plan.Full.Batch.Samples, plan.Geometry.Micro);
        if (MeasuredRun.Remark(options, samples) is { } remark)
        {
            surroundings.Error.WriteLine(remark);
        }

        Say(0, "a micro-batch");
        MeasuredModel model;
        double perMicroBatch;
        using (var group = await MeasuringGroup.StartAsync(options, 1, surroundings, cancellation))
        {
            var cost = await group.MeasureAsync(micro, cancellation)
                ?? throw new MeasureException($"There is no memory for a micro-batch of {micro:N0}: lower batch.micro.") { IsShort = true };
            (model, perMicroBatch) = (group.Model, cost.Time.TotalSeconds);
        }

        var (costs, peaks) = (new List<StepCost>(), new List<MeasuredPeak>());
        foreach (var (index, workers) in levels.Index())
        {
            Say(index, $"steps of {Words.Count(workers, "worker")}");
            var step = MeasuredStep.Of(samples, plan.Geometry, workers, Math.Max(1, (long)(LongestStep.TotalSeconds / perMicroBatch)) * workers);
            var (cost, peak) = await StepRun.MeasureAsync(options, step, workers, surroundings, cancellation);
            costs.Add(cost);
            peaks.Add(peak);
        }

        return new HostMeasurement(model, costs, peaks, room);

        void Say(int done, string what) =>
            surroundings.Error.WriteLine($"Measuring {what}, about {Words.Span((levels.Count - done) * StepRun.Usual)} left.");
    }
}
