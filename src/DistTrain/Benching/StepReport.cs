using System.Globalization;
using System.Text.Json.Nodes;
using DistTrain.Views;

namespace DistTrain.Benching;

/// <summary>What <c>bench step</c> says: where the time of a step goes, for each number of workers, and what more workers bring.</summary>
/// <param name="runs">By number of workers, in order, the same number of rounds for each.</param>
internal sealed class StepReport(IReadOnlyList<(int Workers, IReadOnlyList<StepPhases> Rounds)> runs)
{
    /// <summary>Writes it for people.</summary>
    public void Write(TextWriter output)
    {
        var table = new TextTable(
            "workers", "step, ms", "wait, ms", "compute, ms", "exchange, ms", "early, %", "apply, ms", "other, ms", "allocated, kB", "samples/s", "efficiency", "transports");
        foreach (var (workers, rounds) in runs)
        {
            table.Add(
                $"{workers}", Ms(rounds, r => r.Step), Ms(rounds, r => r.Wait), Ms(rounds, r => r.Compute), Ms(rounds, r => r.Exchange), Ms(rounds, r => 100 * r.Early), Ms(rounds, r => r.Apply),
                Ms(rounds, r => r.Other), rounds[0].Allocated is null ? "-" : Ms(rounds, r => (r.Allocated ?? 0) / 1e3), Middle(rounds, r => r.SamplesPerSecond).ToString("0", CultureInfo.InvariantCulture), $"{Efficiency(rounds, workers)}",
                rounds[0].Transports.Length > 0 ? rounds[0].Transports : "-");
        }

        table.Write(output);
        output.WriteLine();
        var (first, counted) = (Words.Count(runs[0].Workers, "worker"), runs[0].Rounds);
        output.WriteLine($"Medians of {Words.Count(counted.Count, "round")} of {Words.Count(counted[0].Steps, "step")}. Of a step: the median over steps of the mean over workers.");
        output.WriteLine("step       from the end of one step to the end of the next");
        output.WriteLine("wait       until a worker is told what to compute, by the coordinator");
        output.WriteLine("compute    gradients of a worker's own part of the step");
        output.WriteLine("exchange   what is left of adding the gradients up when a worker's own are computed; here it waits for slower workers");
        output.WriteLine("early      share of the bytes that a worker sends that were on their way by then");
        output.WriteLine("apply      the update of the weights");
        output.WriteLine("other      the rest of a step: reports, and by how much the slowest worker is behind the mean");
        output.WriteLine("allocated  managed memory that a step takes, in the mean over steps, of the worker that takes most");
        output.WriteLine($"efficiency samples/s by worker, over that of {first}, with a 95 % interval where there are 6 rounds, else their range;");
        output.WriteLine($"           workers that share a core cannot reach 1, and this machine has {Words.Count(Environment.ProcessorCount, "core")}");
    }

    /// <summary>The same for programs.</summary>
    public JsonObject Json() => new()
    {
        ["cores"] = Environment.ProcessorCount,
        ["runs"] = new JsonArray([.. runs.Select(run => new JsonObject
        {
            ["workers"] = run.Workers,
            ["rounds"] = run.Rounds.Count,
            ["steps"] = run.Rounds[0].Steps,
            ["stepMs"] = Round(run.Rounds, r => r.Step),
            ["waitMs"] = Round(run.Rounds, r => r.Wait),
            ["computeMs"] = Round(run.Rounds, r => r.Compute),
            ["exchangeMs"] = Round(run.Rounds, r => r.Exchange),
            ["earlyShare"] = Round(run.Rounds, r => r.Early),
            ["applyMs"] = Round(run.Rounds, r => r.Apply),
            ["otherMs"] = Round(run.Rounds, r => r.Other),
            ["allocatedBytes"] = run.Rounds[0].Allocated is null ? null : Round(run.Rounds, r => r.Allocated ?? 0),
            ["samplesPerSecond"] = Round(run.Rounds, r => r.SamplesPerSecond),
            ["efficiency"] = Math.Round(Efficiency(run.Rounds, run.Workers).Value, 4),
            ["efficiencyLow"] = Math.Round(Efficiency(run.Rounds, run.Workers).Low, 4),
            ["efficiencyHigh"] = Math.Round(Efficiency(run.Rounds, run.Workers).High, 4),
            ["transports"] = run.Rounds[0].Transports,
        })]),
    };

    /// <summary>Paired by round, as the machine's speed drifts.</summary>
    private Median Efficiency(IReadOnlyList<StepPhases> rounds, int workers)
    {
        var (fewest, first) = runs[0];
        return Median.Of(rounds.Zip(first, (run, least) => run.SamplesPerSecond / workers / (least.SamplesPerSecond / fewest)));
    }

    private static double Middle(IReadOnlyList<StepPhases> rounds, Func<StepPhases, double> value) => Median.Of(rounds.Select(value)).Value;

    private static string Ms(IReadOnlyList<StepPhases> rounds, Func<StepPhases, double> value) => Middle(rounds, value).ToString("0.0", CultureInfo.InvariantCulture);

    private static double Round(IReadOnlyList<StepPhases> rounds, Func<StepPhases, double> value) => Math.Round(Middle(rounds, value), 3);
}
