using System.Diagnostics;
using System.Text.Json;
using DistTrain.Benching;

namespace DistTrain.Benchmarks;

/// <summary>
/// Training, beside the peers: two workers beside PyTorch's DistributedDataParallel over Gloo with two processes, one worker beside a plain TorchSharp loop. Same model, optimizer, clipping,
/// micro-batch, accumulation and threads; whole processes, in turns within one pair.
/// </summary>
internal static class TrainingPeers
{
    private static readonly TimeSpan Window = TimeSpan.FromSeconds(2);
    /// <summary>Steps that say how many fill a window.</summary>
    private const int Probe = 3;

    private static readonly int[] Accumulations = [1, 8];

    private static readonly IReadOnlyDictionary<string, string> Sgd = new Dictionary<string, string>
    {
        ["optimizer.name"] = "sgd",
        ["optimizer.learningRate"] = "0.01",
        ["optimizer.momentum"] = "0.9",
        ["optimizer.weightDecay"] = "0.0002",
    };

    private static readonly IReadOnlyList<Case> Cases =
    [
        new("cnn", "fashion-mnist-cnn", 32, new Dictionary<string, string>(Sgd)
        {
            ["task"] = "image-classification",
            ["data.name"] = "fashion-mnist",
            ["model.name"] = "cnn",
            ["model.hidden"] = "128",
            ["model.dropout"] = "0",
            ["clip.globalNorm"] = "1",
        }),
        new("gpt", "gpt-bytes", 8, new Dictionary<string, string>
        {
            ["task"] = "language-model",
            ["data.name"] = "devils-dictionary",
            ["model.name"] = "gpt",
            ["model.window"] = "128",
            ["model.width"] = "128",
            ["model.layers"] = "4",
            ["model.heads"] = "4",
            ["optimizer.name"] = "adamw",
            ["optimizer.learningRate"] = "0.001",
            ["optimizer.beta1"] = "0.9",
            ["optimizer.beta2"] = "0.99",
            ["optimizer.epsilon"] = "1e-8",
            ["optimizer.weightDecay"] = "0.1",
            ["clip.globalNorm"] = "1",
        }),
        new("mlp of 10 million parameters", "fashion-mnist-mlp", 32, new Dictionary<string, string>(Sgd)
        {
            ["task"] = "image-classification",
            ["data.name"] = "fashion-mnist",
            ["model.name"] = "mlp",
            ["model.hidden"] = "2800",
            ["model.dropout"] = "0",
        }),
    ];

    public static async Task RunAsync(int pairs, int? only, string model)
    {
        Console.WriteLine($"Windows of {Window.TotalSeconds:0} s, from one completed step to another. DistTrain is a whole run, stopped by a signal while the peer trains. Above 1 DistTrain is faster, or takes less "
            + "processor time.\n");
        Console.WriteLine("| workers | model | accumulation | micro-batch | samples/s | peer | samples/s | speed relative to it | CPU ms/sample | peer's | processor time relative to it |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|---|");
        var about = "";
        foreach (var workers in only is { } one ? [one] : new[] { 2, 1 })
        {
            foreach (var @case in Cases.Where(c => c.Name.StartsWith(model, StringComparison.Ordinal)))
            {
                foreach (var accumulation in Accumulations)
                {
                    about = await MeasureAsync(pairs, workers, @case, accumulation) ?? about;
                }
            }
        }

        Console.WriteLine($"\n{(about.Length > 0 ? $"{about}, gradient_as_bucket_view. " : "")}Medians over pairs; 95 % intervals from order statistics.");
    }

    private static async Task<string?> MeasureAsync(int pairs, int workers, Case @case, int accumulation)
    {
        var batch = (long)workers * accumulation * @case.Micro;
        var (name, programs) = workers == 1 ? ("plain TorchSharp", Plain(@case, accumulation)) : ("DDP, Gloo", Ddp(@case, workers, accumulation));
        await using var own = await OwnRun.StartAsync(@case.Recipe, workers, batch, [.. @case.Sets, $"batch.micro={@case.Micro}"]);
        await using var peer = await BenchGroup.StartAsync(name, programs, default);
        await peer.LinkAsync("gloo", default);
        await peer.RunAsync("training", 0, 5, default);
        var steps = Math.Max(1, (int)(Window.TotalMilliseconds * Probe / (await peer.RunAsync("training", 0, Probe, default)).Milliseconds));
        var (ours, theirs) = (new List<TrainingRate>(), new List<TrainingRate>());
        for (var pair = -1; pair < pairs; pair++)
        {
            // Who goes first alternates. The first pair is one to warm up.
            var first = pair % 2 == 0;
            if (first)
            {
                ours.Add(await own.MeasureAsync(Window));
            }

            var run = await peer.RunAsync("training", 0, steps, default);
            theirs.Add(new TrainingRate((double)steps * batch, run.Milliseconds / 1e3, run.CpuSeconds));
            if (!first)
            {
                ours.Add(await own.MeasureAsync(Window));
            }
        }

        var measured = ours.Zip(theirs).Skip(1).ToList();
        Console.WriteLine(
            $"| {workers} | {@case.Name} | {accumulation} | {@case.Micro} | {Median.Of(measured.Select(m => m.First.PerSecond)).Value:0} | {name} "
            + $"| {Median.Of(measured.Select(m => m.Second.PerSecond)).Value:0} | {Median.Of(measured.Select(m => m.First.PerSecond / m.Second.PerSecond))} "
            + $"| {Median.Of(measured.Select(m => m.First.CpuPerSample * 1e3)).Value:0.000} | {Median.Of(measured.Select(m => m.Second.CpuPerSample * 1e3)).Value:0.000} "
            + $"| {Median.Of(measured.Select(m => m.Second.CpuPerSample / m.First.CpuPerSample))} |");
        return workers == 1 ? null : (await peer.AskAsync("about", default))[0];
    }

    private static IEnumerable<ProcessStartInfo> Ddp(Case @case, int workers, int accumulation)
    {
        var settings = new Dictionary<string, string>(@case.Keys) { ["micro"] = $"{@case.Micro}", ["accumulation"] = $"{accumulation}" };
        return Peers.Scripts("ddp.py", workers, JsonSerializer.Serialize(settings));
    }

    private static IEnumerable<ProcessStartInfo> Plain(Case @case, int accumulation) =>
        [Peers.Worker("plain-worker", [$"{accumulation}", .. @case.Sets, $"batch.micro={@case.Micro}", $"batch.global={@case.Micro}", "stop.steps=1"])];

    private sealed record Case(string Name, string Recipe, int Micro, IReadOnlyDictionary<string, string> Keys)
    {
        public IEnumerable<string> Sets => Keys.Select(k => $"{k.Key}={k.Value}");
    }
}
