using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Training.Native;
using DistTrain.Worker;

namespace DistTrain.Benchmarks;

/// <summary>How long a step waits for the snapshot of a checkpoint, in copies of the same memory; and as it was with new memory for each.</summary>
internal static class CheckpointPause
{
    public static async Task RunAsync(int pairs, int millions)
    {
        await using var state = new LargeState(millions * 1_000_000L);
        Console.WriteLine($"A state of {state.Bytes / 1e6:0} MB: {state.Replica.Layout.Count:N0} parameters with momentum. A copy is memcpy of as many bytes between mapped pages.\n");
        Console.WriteLine("| pair | copy ms | snapshot ms | in copies | in new memory ms | in copies |");
        Console.WriteLine("|---|---|---|---|---|---|");
        await state.StepAsync(1);
        var copy = state.Replica.State.Select(s => new NativeVector(s.Vector.Count)).ToList();
        using var snapshot = new StateSnapshot(state.Replica);
        var (kept, fresh) = (new List<double>(), new List<double>());
        for (var pair = -1; pair < pairs; pair++)
        {
            // Who goes first alternates. A step in between writes the state anew, as it does in a run.
            var first = pair % 2 == 0;
            await state.StepAsync(1);
            var (a, b) = (await TimeAsync(first), await TimeAsync(!first));
            var (copied, taken) = first ? (a, b) : (b, a);
            var unmapped = await state.Compute.RunAsync(() => Seconds(() => state.Replica.State.Select(s =>
            {
                var vector = new NativeVector(s.Vector.Count);
                vector.CopyFrom(s.Vector);
                return vector;
            }).ToList().ForEach(v => v.Dispose())));
            if (pair < 0)
            {
                continue;
            }

            kept.Add(taken / copied);
            fresh.Add(unmapped / copied);
            Console.WriteLine($"| {pair + 1} | {copied * 1e3:0.0} | {taken * 1e3:0.0} | {kept[^1]:0.000} | {unmapped * 1e3:0.0} | {fresh[^1]:0.000} |");
        }

        copy.ForEach(v => v.Dispose());
        Console.WriteLine($"\nPause / copy: {Median.Of(kept)} (target 1.5)");
        Console.WriteLine($"In memory that is new each time: {Median.Of(fresh)}");
        Console.WriteLine("Medians over pairs; 95 % intervals from order statistics.");

        // As a step sees it: from asking the compute thread to its answer.
        async Task<double> TimeAsync(bool plain)
        {
            var started = Stopwatch.GetTimestamp();
            await state.Compute.RunAsync(() =>
            {
                if (!plain)
                {
                    snapshot.Take();
                    return;
                }

                foreach (var ((_, source), target) in state.Replica.State.Zip(copy))
                {
                    target.CopyFrom(source);
                }
            });
            return Stopwatch.GetElapsedTime(started).TotalSeconds;
        }
    }

    private static double Seconds(Action action)
    {
        var started = Stopwatch.GetTimestamp();
        action();
        return Stopwatch.GetElapsedTime(started).TotalSeconds;
    }
}
