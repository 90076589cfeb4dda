using System.Globalization;
using DistTrain.Benching;

namespace DistTrain.Benchmarks.Overlap;

/// <summary>
/// How much of the exchange two workers hide behind what they compute, over a cable of 2 Gbit/s between two network namespaces: the time of their steps against that of computing alone, both at once,
/// and of exchanging alone, in turns.
/// </summary>
internal static class OverlapShare
{
    private const string Rate = "2gbit";
    private const int StepsAtOnce = 2;
    private const int WarmUp = 3;

    private static readonly (string Model, int Micro, int Accumulation, double Clip)[] Loads =
    [
        ("deep", 128, 1, 0), ("deep", 128, 1, 1), ("deep", 128, 4, 0), ("deep", 128, 4, 1), ("deep", 128, 3, 0),
        ("deep", 256, 1, 0), ("deep", 256, 4, 0), ("deep", 512, 1, 0), ("deep", 512, 4, 0), ("deep", 32, 1, 0), ("deep", 32, 4, 0),
        ("wide", 128, 1, 0), ("wide", 128, 4, 0),
    ];

    public static async Task RunAsync(int rounds, string model)
    {
        using var link = NarrowLink.Create(Rate);
        await using var workers = await BenchGroup.StartAsync(
            "worker", Enumerable.Range(0, 2).Select(rank => NarrowLink.At(rank, Peers.Worker("overlap-worker", [$"{rank}", NarrowLink.AddressOf(rank)]))), default);
        Console.WriteLine("| model | micro | accumulation | clipping | compute, ms | backward pass, ms | exchange, ms | step, ms | hidden | of what can be | sent early |\n|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (var load in Loads.Where(l => l.Model.StartsWith(model, StringComparison.Ordinal)))
        {
            await MeasureAsync(workers, load, rounds);
        }

        Console.WriteLine(
            $"""

            10 million parameters, {Rate} each way; a block is a micro-batch. `deep` has ten equal layers, `wide` two hidden ones, of which one is most of it. Hidden is 1 - (step - compute) / exchange, where
            compute is a worker's step of as many micro-batches without an exchange, update included, while the other one does the same, and exchange is an all-reduce while nobody computes. Sent early is the
            share of bytes that a worker had begun to send when its gradients were computed. Targets: 0.4 at accumulation 1, 0.6 at 4. What can be hidden is what the last backward pass has room for, as every
            pass adds to every gradient: its time over that of the exchange. With accumulation 3 the workers' ranges are not aligned: each sends two nodes. Medians of {rounds} rounds of {StepsAtOnce};
            95 % intervals from order statistics.
            """);
    }

    private static async Task MeasureAsync(BenchGroup workers, (string Model, int Micro, int Accumulation, double Clip) load, int rounds)
    {
        await workers.AskAsync(string.Create(CultureInfo.InvariantCulture, $"take {load.Model} {load.Micro} {load.Accumulation} {load.Clip}"), default);
        await workers.AskAsync("link", default);
        var (compute, backward, exchange, step, early) = (new List<double>(), new List<double>(), new List<double>(), new List<double>(), new List<double>());
        for (var round = -1; round < rounds; round++)
        {
            var times = round < 0 ? WarmUp : StepsAtOnce;
            var (computed, pass) = await AskAsync("compute", times);
            var (exchanged, _) = await AskAsync("exchange", times);
            var (stepped, share) = await AskAsync("step", times);
            if (round >= 0)
            {
                compute.Add(computed);
                backward.Add(pass);
                exchange.Add(exchanged);
                step.Add(stepped);
                early.Add(share);
            }
        }

        var hidden = step.Zip(compute, (s, c) => s - c).Zip(exchange, (left, e) => 1 - (left / e)).ToList();
        var possible = hidden.Zip(backward.Zip(exchange, (b, e) => Math.Min(1, b / e)), (h, most) => h / most);
        Console.WriteLine(
            $"| {load.Model} | {load.Micro} | {load.Accumulation} | {(load.Clip > 0 ? "on" : "off")} | {Median.Of(compute).Value:0.0} | {Median.Of(backward).Value:0.0} | {Median.Of(exchange).Value:0.0} | {Median.Of(step).Value:0.0} "
            + $"| {Median.Of(hidden)} | {Median.Of(possible)} | {Median.Of(early).Value:0.00} |");

        async Task<(double Milliseconds, double Share)> AskAsync(string what, int times)
        {
            var answers = (await workers.AskAsync($"{what} {times}", default))
                .Select(a => a.Split(' ').Select(n => double.Parse(n, CultureInfo.InvariantCulture)).ToArray()).ToList();
            return (answers.Max(a => a[0]), answers.Average(a => a[1]));
        }
    }
}
