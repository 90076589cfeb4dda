using System.Diagnostics;
using DistTrain.Protocol.Faults;

namespace DistTrain.Benchmarks;

/// <summary>Samples in a time.</summary>
/// <param name="Samples">How many.</param>
/// <param name="Seconds">How long they took.</param>
/// <param name="CpuSeconds">Processor time of all that trained.</param>
internal readonly record struct TrainingRate(double Samples, double Seconds, double CpuSeconds)
{
    public double PerSecond => Samples / Seconds;

    public double CpuPerSample => CpuSeconds / Samples;
}

/// <summary>
/// A whole <c>disttrain train</c>: coordinator, workers, reports, files. All its processes are stopped by a signal while somebody else is measured, so that both sides of a pair lie within
/// the same seconds; what counts is the time from one completed step to another.
/// </summary>
internal sealed class OwnRun : IAsyncDisposable
{
    private const int WarmUp = 8;

    /// <summary>Kernel's unit of process times, USER_HZ: 100 on every Linux architecture .NET runs on.</summary>
    private const double TicksPerSecond = 100;

    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);

    private readonly string _folder = Path.Combine(Directory.CreateTempSubdirectory("disttrain-training-").FullName, "run");
    private readonly long _batch;
    private readonly Process _process;
    private readonly Task<string> _error;
    private readonly byte[] _buffer = new byte[1 << 16];
    private long _position;
    private int _steps;

    private OwnRun(string recipe, int workers, long batch, IEnumerable<string> sets)
    {
        _batch = batch;
        string[] all =
        [
            .. sets, $"workers={workers}", $"batch.global={batch}", "stop.epochs=0", "stop.steps=100000000", "evaluate.everyEpochs=0",
            "checkpoint.everySteps=100000000", "failureDetection=10m",
        ];
        _process = TrainProcess.Start(recipe, _folder, all);
        _process.OutputDataReceived += (_, _) => { };
        _process.BeginOutputReadLine();
        _error = _process.StandardError.ReadToEndAsync();
    }

    /// <summary>Starts it, and stops it when it is warm.</summary>
    public static async Task<OwnRun> StartAsync(string recipe, int workers, long batch, IEnumerable<string> sets)
    {
        var run = new OwnRun(recipe, workers, batch, sets);
        try
        {
            await run.ReachAsync(WarmUp, TimeSpan.Zero);
            run.Signal(ProcessSignal.Stop);
            return run;
        }
        catch
        {
            await run.DisposeAsync();
            throw;
        }
    }

    /// <summary>Lets it go on for a while.</summary>
    public async Task<TrainingRate> MeasureAsync(TimeSpan window)
    {
        Signal(ProcessSignal.Continue);

        // The step that was under way counts for neither side.
        await ReachAsync(_steps + 2, TimeSpan.Zero);
        var (from, cpu, steps) = (Stopwatch.GetTimestamp(), CpuSeconds(), _steps);
        await ReachAsync(_steps + 1, window);
        var rate = new TrainingRate((double)(_steps - steps) * _batch, Stopwatch.GetElapsedTime(from).TotalSeconds, CpuSeconds() - cpu);
        Signal(ProcessSignal.Stop);
        return rate;
    }

    public async ValueTask DisposeAsync()
    {
        Signal(ProcessSignal.Kill);
        await _process.WaitForExitAsync();
        _process.Dispose();
        Directory.Delete(Path.GetDirectoryName(_folder)!, recursive: true);
    }

    /// <summary>Waits for a step, and for a time, whichever comes later; it ends with a step.</summary>
    private async Task ReachAsync(int steps, TimeSpan window)
    {
        var started = Stopwatch.GetTimestamp();
        using var deadline = new CancellationTokenSource(Deadline + window);
        using var sampling = new PeriodicTimer(TimeSpan.FromMilliseconds(2));
        while (true)
        {
            var isNew = CountSteps();
            if (isNew && _steps >= steps && Stopwatch.GetElapsedTime(started) >= window)
            {
                return;
            }

            if (_process.HasExited)
            {
                throw new InvalidOperationException($"disttrain train ended after {_steps} steps, exit code {_process.ExitCode}: {await _error}");
            }

            await sampling.WaitForNextTickAsync(deadline.Token);
        }
    }

    private bool CountSteps()
    {
        var path = Path.Combine(_folder, "metrics.jsonl");
        if (!File.Exists(path))
        {
            return false;
        }

        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite) { Position = _position };
        var before = _steps;
        while (file.Read(_buffer) is var count and > 0)
        {
            _position += count;
            _steps += _buffer.AsSpan(0, count).Count((byte)'\n');
        }

        return _steps > before;
    }

    private void Signal(int signal)
    {
        foreach (var process in Children().Append(_process.Id))
        {
            ProcessSignal.Send(process, signal);
        }
    }

    private IEnumerable<int> Children() => Stats().Where(s => int.Parse(s.Fields[1]) == _process.Id).Select(s => s.Process).ToList();

    private double CpuSeconds() =>
        Stats().Where(s => s.Process == _process.Id || int.Parse(s.Fields[1]) == _process.Id).Sum(s => long.Parse(s.Fields[11]) + long.Parse(s.Fields[12])) / TicksPerSecond;

    /// <summary>All processes; after the name in parentheses: state, parent, ...; user and system time are fields 14 and 15 of the line.</summary>
    private static IEnumerable<(int Process, string[] Fields)> Stats()
    {
        foreach (var entry in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(entry), out var process))
            {
                continue;
            }

            string stat;
            try
            {
                stat = File.ReadAllText(Path.Combine(entry, "stat"));
            }
            catch (IOException)
            {
                // A process that ended while it was looked at is none of ours: ours are still training.
                continue;
            }

            yield return (process, stat[(stat.LastIndexOf(')') + 2)..].Split(' '));
        }
    }
}
