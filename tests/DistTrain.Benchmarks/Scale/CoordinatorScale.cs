using System.Collections.Immutable;
using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Protocol.V1;
using Kind = DistTrain.Protocol.V1.CoordinatorMessage.BodyOneofCase;

namespace DistTrain.Benchmarks.Scale;

/// <summary>
/// A coordinator and many workers: <c>disttrain coordinator</c> alone in its process, scripted workers without torch in this one, each with a connection of its own over
/// loopback. A time ends when the last worker has the last byte of a message; it begins with the word, or the death, of a worker, before the coordinator knows of it.
/// </summary>
internal sealed class CoordinatorScale : IAsyncDisposable
{
    private const int StepsInRow = 20;
    private static readonly TimeSpan Rest = TimeSpan.FromMilliseconds(300);
    private readonly Cast _cast = new();
    private readonly CoordinatorProcess _coordinator;
    private ImmutableList<ScriptedWorker> _workers = [];
    private readonly CancellationTokenSource _over = new();
    private int _added;
    private ulong _generation = 1;
    private ulong _plan = 1;
    private double _slow = 1;
    private Task _beating = Task.CompletedTask;

    private CoordinatorScale(CoordinatorProcess coordinator) => _coordinator = coordinator;

    public static async Task RunAsync(IEnumerable<int> sizes, int rounds)
    {
        Console.WriteLine($"Medians and largest of {rounds}, in ms. failureDetection: {Environment.GetEnvironmentVariable("DISTTRAIN__FAILUREDETECTION") ?? "the default"}.\n");
        Console.WriteLine("| workers | all joined | step | plan to all | loss: members to all | loss: handed out again to all | join to all | a tenth lost at once | loss: CPU ms of coordinator, of all workers | step CPU ms | idle CPU % | MB | peak MB | longest pause of a worker |");
        Console.WriteLine("|---|---|---|---|---|---|---|---|---|---|---|---|---|---|");
        foreach (var size in sizes)
        {
            var root = Directory.CreateTempSubdirectory("disttrain-scale-").FullName;
            try
            {
                using var process = await CoordinatorProcess.StartAsync(
                    Path.Combine(root, "run"), size, "batch.global=32768", "batch.micro=4", "batch.blocks=8192", "stop.steps=1000000", "evaluate.everyEpochs=0");
                await using var scale = new CoordinatorScale(process);
                Console.WriteLine(await scale.MeasureAsync(size, rounds));
            }
            finally
            {
                Directory.Delete(root, recursive: true);
            }
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await _beating;
        await Task.WhenAll(_workers.Select(w => w.DisposeAsync().AsTask()));
        _over.Dispose();
    }

    private async Task<string> MeasureAsync(int size, int rounds)
    {
        var started = Stopwatch.GetTimestamp();
        await AddAsync(size);
        _beating = BeatAsync();
        var joined = Milliseconds(started, await IssuedAsync(2));
        _cast.WatchPauses();

        var (cpu, from) = (_coordinator.CpuSeconds, Stopwatch.GetTimestamp());
        await Task.Delay(TimeSpan.FromSeconds(3));
        var idle = (_coordinator.CpuSeconds - cpu) / Stopwatch.GetElapsedTime(from).TotalSeconds * 100;

        (cpu, from) = (_coordinator.CpuSeconds, Stopwatch.GetTimestamp());
        for (var step = 0; step < StepsInRow; step++)
        {
            await StepAsync();
        }

        var stepMs = Milliseconds(from, Stopwatch.GetTimestamp()) / StepsInRow;
        var stepCpu = (_coordinator.CpuSeconds - cpu) * 1000 / StepsInRow;
        var plans = await PlansAsync(rounds);
        var (told, reissued, joins, lossCpu) = await LossesAsync(rounds);
        var burst = await BurstAsync(size / 10);
        await StepAsync();
        return $"| {size} | {joined:0} | {stepMs:0.0} | {Of(plans)} | {Of(told)} | {Of(reissued)} | {Of(joins)} | {burst:0} | {lossCpu.Coordinator:0}, {lossCpu.Workers:0} | {stepCpu:0.0} | {idle:0.0} | {_coordinator.Megabytes:0} | {_coordinator.PeakMegabytes:0} | {_cast.LongestPause.TotalMilliseconds:0} |";

        static string Of(List<double> times) => $"{Median.Of(times).Value:0.0}, {times.Max():0.0}";
    }

    /// <summary>A fifth of the workers becomes four times as slow, or as fast again, until the plan follows: from the last report to the plan in everyone's hands.</summary>
    private async Task<List<double>> PlansAsync(int rounds)
    {
        var times = new List<double>();
        await SkipPlansAsync();
        while (times.Count < rounds)
        {
            _slow = _slow > 1 ? 1 : 4;
            for (var tries = 0; ; tries++)
            {
                var from = await StepAsync(rests: true);
                if (_cast.Milestones.Count(Kind.Plan, _generation, _plan + 1) > 0)
                {
                    times.Add(Milliseconds(from, await ReachedAsync(Kind.Plan, ++_plan)));
                    break;
                }

                if (tries == 5)
                {
                    throw new InvalidOperationException("The plan does not follow what workers take.");
                }
            }

            // Nothing but the new speeds is to be seen of the last three steps.
            await StepAsync();
            await SkipPlansAsync();
        }

        return times;
    }

    /// <summary>A worker dies in the middle of a step whose nodes all hold; then another takes its place.</summary>
    private async Task<(List<double> Told, List<double> Reissued, List<double> Joins, (double Coordinator, double Workers) Cpu)> LossesAsync(int rounds)
    {
        var (told, reissued, joins) = (new List<double>(), new List<double>(), new List<double>());
        var (coordinator, workers) = (0.0, 0.0);
        for (var round = 0; round < rounds; round++)
        {
            await Task.Delay(Rest);
            _cast.HoldsSince = _generation;
            var (before, own) = (_coordinator.CpuSeconds, Environment.CpuUsage.TotalTime);
            var from = await LoseAsync(_workers[round * 7 % _workers.Count]);
            var members = ReachedAsync(Kind.Membership, _generation + 1, _generation + 1);
            (_generation, _plan) = (_generation + 1, _plan + 1);
            told.Add(Milliseconds(from, await members));
            reissued.Add(Milliseconds(from, await IssuedAsync(_cast.Applied + 2)));
            coordinator += (_coordinator.CpuSeconds - before) * 1000 / rounds;
            workers += (Environment.CpuUsage.TotalTime - own).TotalMilliseconds / rounds;
            _cast.HoldsSince = 0;
            joins.Add(await JoinAsync());
            await StepAsync();
            await SkipPlansAsync();
        }

        return (told, reissued, joins, (coordinator, workers));
    }

    /// <summary>A host dies, or a switch: a tenth of the workers at the same moment.</summary>
    private async Task<double> BurstAsync(int count)
    {
        await Task.Delay(Rest);
        _cast.HoldsSince = _generation;
        var victims = _workers.Where((_, i) => i % 10 == 5).Take(count).ToList();
        var from = Stopwatch.GetTimestamp();
        await Task.WhenAll(victims.Select(LoseAsync));
        _generation += (ulong)victims.Count;
        var time = Milliseconds(from, await IssuedAsync(_cast.Applied + 2));
        _cast.HoldsSince = 0;
        return time;
    }

    /// <summary>From the last word before a generation with one more member to its operations in everyone's hands.</summary>
    private async Task<double> JoinAsync()
    {
        var learned = _cast.Milestones.Count(Kind.Learn, 0, 0);
        await AddAsync(1);
        var joiner = _workers[^1];
        await _cast.Milestones.ReachedAsync(Kind.Learn, 0, 0, learned + 1);
        await Task.Delay(Rest);
        _workers = _workers.Remove(joiner);
        var from = 0L;
        for (var left = 2; left > 0; left--)
        {
            await ReportAsync(_workers);
            _cast.Applied++;
            from = Stopwatch.GetTimestamp();
            await joiner.SayAsync(new WorkerMessage { Told = 1, Learned = new Learned { Applied = _cast.Applied } });
        }

        _workers = _workers.Add(joiner);
        (_generation, _plan) = (_generation + 1, _plan + 1);
        return Milliseconds(from, await IssuedAsync(_cast.Applied + 2));
    }

    /// <summary>All report the next operation, one of them last, when the coordinator is at rest.</summary>
    /// <returns>When the last one did.</returns>
    private async Task<long> StepAsync(bool rests = false)
    {
        await ReportAsync(_workers.Skip(1));
        if (rests)
        {
            await Task.Delay(Rest);
        }

        var from = Stopwatch.GetTimestamp();
        await ReportAsync(_workers.Take(1));
        _cast.Applied++;
        await IssuedAsync(_cast.Applied + 2);
        return from;
    }

    private Task ReportAsync(IEnumerable<ScriptedWorker> workers) => Task.WhenAll(workers.Select((worker, i) =>
        worker.SayAsync(new WorkerMessage { Report = _cast.Report(_generation, _cast.Applied + 1, worker.Id, 0.01 * (i % 5 == 3 ? _slow : 1)) })));

    private async Task SkipPlansAsync()
    {
        while (_cast.Milestones.Count(Kind.Plan, _generation, _plan + 1) > 0)
        {
            await ReachedAsync(Kind.Plan, ++_plan);
        }
    }

    private async Task AddAsync(int count)
    {
        var added = Enumerable.Range(_added, count).Select(number => new ScriptedWorker(number, _coordinator.Address, _cast)).ToList();
        _added += count;
        _workers = _workers.AddRange(added);
        await Task.WhenAll(added.Select(w => w.JoinAsync()));
    }

    private async Task<long> LoseAsync(ScriptedWorker victim)
    {
        _workers = _workers.Remove(victim);
        var from = Stopwatch.GetTimestamp();
        await victim.DieAsync();
        return from;
    }

    /// <summary>As each worker does, a fifth of the failure detection apart, and all at different moments.</summary>
    private async Task BeatAsync()
    {
        const int Slices = 20;
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(400.0 / Slices));
        try
        {
            for (var slice = 0; await timer.WaitForNextTickAsync(_over.Token); slice = (slice + 1) % Slices)
            {
                await Task.WhenAll(_workers.Where((_, i) => i % Slices == slice).Select(w => w.SayAsync(new WorkerMessage { Heartbeat = new Heartbeat() })));
            }
        }
        catch (OperationCanceledException)
        {
            // The script is over.
        }
    }

    private Task<long> IssuedAsync(ulong operation) => ReachedAsync(Kind.Operation, operation);

    private Task<long> ReachedAsync(Kind kind, ulong number) => ReachedAsync(kind, _generation, number);

    private Task<long> ReachedAsync(Kind kind, ulong generation, ulong number) => _cast.Milestones.ReachedAsync(kind, generation, number, _workers.Count);

    private static double Milliseconds(long from, long to) => Stopwatch.GetElapsedTime(from, to).TotalMilliseconds;
}
