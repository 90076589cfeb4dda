using System.Diagnostics;
using System.Text.Json;
using DistTrain.Benching;

namespace DistTrain.Benchmarks;

/// <summary>
/// What working together costs: one run of two workers at global batch B against two runs at once of one worker each at B / 2, which share the same
/// cores and memory but never wait for each other. Whole processes over real sockets, started by the command itself.
/// </summary>
internal static class Scaling
{
    private const int Uncounted = 8;

    /// <summary>Kernel's unit of process times, USER_HZ: 100 on every Linux architecture .NET runs on.</summary>
    private const double TicksPerSecond = 100;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(5);

    public static async Task RunAsync(int pairs, int steps, int global)
    {
        Console.WriteLine(
            $"Recipe fashion-mnist-cnn for {steps} steps of {global} samples, the first {Uncounted} not counted. Rates are samples over wall time between "
            + "lines of metrics.jsonl; CPU is that of worker processes over the same samples.\n");
        Console.WriteLine("| pair | together samples/s | apart samples/s | ratio | together CPU ms/sample | apart CPU ms/sample | ratio | coordinator % of a core |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|");
        var root = Directory.CreateTempSubdirectory("disttrain-scaling-").FullName;
        var (rates, costs, shares) = (new List<double>(), new List<double>(), new List<double>());
        try
        {
            for (var pair = -1; pair < pairs; pair++)
            {
                // Pair -1 warms the disk cache. Who goes first alternates.
                var firstTogether = pair % 2 == 0;
                var length = pair < 0 ? Uncounted + 4 : steps;
                var first = await MeasureAsync(root, length, global, firstTogether);
                var second = await MeasureAsync(root, length, global, !firstTogether);
                var (together, apart) = firstTogether ? (first, second) : (second, first);
                if (pair < 0)
                {
                    continue;
                }

                rates.Add(together.Rate / apart.Rate);
                costs.Add(apart.CpuPerSample / together.CpuPerSample);
                shares.Add(together.CoordinatorShare * 100);
                Console.WriteLine(
                    $"| {pair + 1} | {together.Rate:0} | {apart.Rate:0} | {rates[^1]:0.000} "
                    + $"| {together.CpuPerSample * 1e3:0.000} | {apart.CpuPerSample * 1e3:0.000} | {costs[^1]:0.000} | {shares[^1]:0.00} |");
            }
        }
        finally
        {
            Directory.Delete(root, recursive: true);
        }

        Console.WriteLine($"\nTogether / apart, samples per second: {Median.Of(rates)} (target 0.95)");
        Console.WriteLine($"Apart / together, CPU seconds of workers per sample: {Median.Of(costs)}");
        Console.WriteLine($"Coordinator's share of one core: {Median.Of(shares).Percent} (target below 3 %)");
        Console.WriteLine("Medians over pairs; 95 % intervals from order statistics.");
    }

    private static async Task<Measured> MeasureAsync(string root, int steps, int global, bool together)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        var runs = together
            ? new[] { new Run(root, workers: 2, global, steps) }
            : [new Run(root, workers: 1, global / 2, steps), new Run(root, workers: 1, global / 2, steps)];
        try
        {
            return Measured.Sum(await Task.WhenAll(runs.Select(r => r.FollowAsync(deadline.Token))));
        }
        finally
        {
            Array.ForEach(runs, r => r.Dispose());
        }
    }

    /// <param name="Rate">Samples per second.</param>
    /// <param name="CpuPerSample">CPU seconds of workers for a sample.</param>
    /// <param name="CoordinatorShare">CPU seconds of the coordinator per second.</param>
    private readonly record struct Measured(double Rate, double CpuPerSample, double CoordinatorShare)
    {
        /// <summary>Runs side by side: rates add up, costs are averaged.</summary>
        public static Measured Sum(IReadOnlyCollection<Measured> runs) =>
            new(runs.Sum(r => r.Rate), runs.Average(r => r.CpuPerSample), runs.Average(r => r.CoordinatorShare));
    }

    /// <summary>One <c>disttrain train</c>, watched through its folder and the kernel's books.</summary>
    private sealed class Run : IDisposable
    {
        private readonly string _folder;
        private readonly int _steps;
        private readonly int _batch;
        private readonly int _workers;
        private readonly Process _process;
        private readonly Task<string> _output;
        private readonly Task<string> _error;

        public Run(string root, int workers, int batch, int steps)
        {
            _folder = Path.Combine(root, Path.GetRandomFileName());
            (_steps, _batch, _workers) = (steps, batch, workers);
            _process = TrainProcess.Start("fashion-mnist-cnn", _folder, $"workers={workers}", $"batch.global={batch}", $"stop.steps={steps}", "failureDetection=30s");
            (_output, _error) = (_process.StandardOutput.ReadToEndAsync(), _process.StandardError.ReadToEndAsync());
        }

        public async Task<Measured> FollowAsync(CancellationToken cancellation)
        {
            var from = await ReachAsync(Uncounted, cancellation);
            var to = await ReachAsync(_steps, cancellation);
            await _process.WaitForExitAsync(cancellation);
            await _output;
            if (_process.ExitCode != 0)
            {
                throw new InvalidOperationException($"disttrain train ended with {_process.ExitCode}: {await _error}");
            }

            var summary = JsonDocument.Parse(await File.ReadAllTextAsync(Path.Combine(_folder, "summary.json"), cancellation)).RootElement;
            if (summary.GetProperty("samples").GetInt64() != (long)_steps * _batch)
            {
                throw new InvalidOperationException($"The run used {summary.GetProperty("samples")} samples, not {(long)_steps * _batch}.");
            }

            var (seconds, samples) = (Stopwatch.GetElapsedTime(from.At, to.At).TotalSeconds, (double)(to.Steps - from.Steps) * _batch);
            return new Measured(samples / seconds, (to.Workers - from.Workers) / samples, (to.Coordinator - from.Coordinator) / seconds);
        }

        public void Dispose()
        {
            if (!_process.HasExited)
            {
                _process.Kill(entireProcessTree: true);
            }

            _process.Dispose();
        }

        /// <summary>Waits for a number of steps and reads clock and CPU times at that moment.</summary>
        private async Task<(long At, int Steps, double Coordinator, double Workers)> ReachAsync(int steps, CancellationToken cancellation)
        {
            var metrics = Path.Combine(_folder, "metrics.jsonl");
            using var sampling = new PeriodicTimer(TimeSpan.FromMilliseconds(10));
            while (true)
            {
                var done = File.Exists(metrics) ? Lines(metrics) : 0;
                if (done >= steps)
                {
                    var at = Stopwatch.GetTimestamp();
                    return (at, done, CpuSeconds("coordinator", 1), CpuSeconds("worker", _workers));
                }

                if (_process.HasExited)
                {
                    throw new InvalidOperationException($"disttrain train ended after {done} of {steps} steps, exit code {_process.ExitCode}: {await _error}");
                }

                await sampling.WaitForNextTickAsync(cancellation);
            }
        }

        private static int Lines(string path)
        {
            using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            return bytes.Count(b => b == '\n');
        }

        /// <summary>CPU seconds so far of the command's children with a verb.</summary>
        private double CpuSeconds(string verb, int expected)
        {
            var (ticks, found) = (0L, 0);
            foreach (var entry in Directory.EnumerateDirectories("/proc").Where(d => int.TryParse(Path.GetFileName(d), out _)))
            {
                try
                {
                    // After the name in parentheses: state, parent, ...; user and system time are fields 14 and 15 of the line.
                    var stat = File.ReadAllText(Path.Combine(entry, "stat"));
                    var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
                    if (int.Parse(fields[1]) == _process.Id && File.ReadAllText(Path.Combine(entry, "cmdline")).Split('\0').Contains(verb))
                    {
                        ticks += long.Parse(fields[11]) + long.Parse(fields[12]);
                        found++;
                    }
                }
                catch (IOException)
                {
                    // A process that ended while it was looked at is none of ours: ours are still training.
                }
            }

            return found == expected
                ? ticks / TicksPerSecond
                : throw new InvalidOperationException($"{found} {verb} processes were found instead of {expected}.");
        }
    }
}
