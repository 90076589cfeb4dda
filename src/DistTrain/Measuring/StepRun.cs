using System.Text.Json.Nodes;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;
using DistTrain.Launching;
using DistTrain.Plans;
using DistTrain.Records;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Measuring;

/// <summary>
/// A run of a number of workers on this host that is ended when its steps have been measured: the coordinator and whatever else takes turns with the workers is part of it. Its
/// folder goes with it.
/// </summary>
internal sealed class StepRun : IRunViewer
{
    /// <summary>More steps than are measured.</summary>
    private const long Steps = 1_000_000;

    private const int FewestWarmUps = 6;
    private const int FewestTimed = 8;
    private const int MostTimed = 300;

    /// <summary>In the training of a sample, the pass back takes about as long as two passes forward, which is all that an evaluation has.</summary>
    private const double PartOfEvaluation = 1.0 / 3;

    /// <summary>A new process compiles its methods twice, and its libraries plan their kernels.</summary>
    private static readonly TimeSpan WarmUpTime = TimeSpan.FromSeconds(2);

    private static readonly TimeSpan TimedTime = TimeSpan.FromSeconds(6);

    /// <summary>From the start of its processes to the last step that is timed.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(5);

    /// <summary>A machine that is measured is busy, and nobody is to be taken for lost.</summary>
    private static readonly TimeSpan FailureDetection = TimeSpan.FromSeconds(20);

    private readonly CancellationTokenSource _done = new();
    private readonly Lock _gate = new();
    private readonly TimeProvider _time;
    private long? _began;
    private long _lastWarmUp;
    private long _warm;
    private long _last;

    private StepRun(TimeProvider time) => _time = time;

    /// <summary>About how long it takes.</summary>
    public static TimeSpan Usual => WarmUpTime + TimedTime + TimeSpan.FromSeconds(2);

    /// <summary>Runs it.</summary>
    /// <param name="options">The run's configuration, with the data where they lie on this host.</param>
    /// <param name="step">The steps.</param>
    /// <param name="workers">How many workers.</param>
    /// <param name="surroundings">The program, its environment and the clock.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="MeasureException">The run failed, or its steps were not those that were asked for.</exception>
    public static async Task<(StepCost Cost, MeasuredPeak Peak)> MeasureAsync(
        RunOptions options, MeasuredStep step, int workers, Surroundings surroundings, CancellationToken stop)
    {
        options = MeasuredRun.Of(options, Steps);
        options = options with
        {
            Name = "measure",
            Workers = workers,
            Batch = options.Batch with { Global = step.Samples, Micro = step.Geometry.Micro, Blocks = step.Geometry.Blocks, MicroFrom = new Dictionary<string, int>() },
            Checkpoint = new CheckpointOptions { Keep = 1 },
            FailureDetection = options.FailureDetection < FailureDetection ? FailureDetection : options.FailureDetection,
            Debug = new DebugOptions(),
        };
        using var temporary = MeasuringFolder.Create();
        var (folder, problem, _) = RunFolder.Claim(Path.Combine(temporary.Path, "run"), options.Name, RunConfiguration.Write(options));
        var program = surroundings.Program with { Prefix = [.. surroundings.Program.Prefix, Verbs.MeasureVerb.Name] };
        var settings = new LocalRunSettings
        {
            Options = options,
            Folder = folder ?? throw new MeasureException(problem!),
            Program = program,
            Environment = surroundings.Environment,
            MaxRestarts = 0,
        };
        var run = new StepRun(surroundings.Time);
        using var deadline = new CancellationTokenSource(Deadline, surroundings.Time);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop, deadline.Token, run._done.Token);
        var result = await new LocalRun(settings, run, surroundings.Time).RunAsync(over.Token);
        stop.ThrowIfCancellationRequested();
        return run._done.IsCancellationRequested
            ? run.Read(settings.Folder, result, step, workers)
            : throw new MeasureException(deadline.IsCancellationRequested
                ? $"Steps of {Words.Count(workers, "worker")} could not be measured within {Duration.Format(Deadline)}: measure while the machine is less busy, or with a smaller batch.micro."
                : $"Steps of {Words.Count(workers, "worker")} could not be measured: {result.Sentence}");
    }

    /// <inheritdoc/>
    public void Show(V1.RunEvent happened)
    {
        if (happened.Step is not { } step)
        {
            return;
        }

        lock (_gate)
        {
            var now = _time.GetTimestamp();
            _began ??= now;
            if (_lastWarmUp == 0)
            {
                if (step.Step >= FewestWarmUps && _time.GetElapsedTime(_began.Value, now) >= WarmUpTime)
                {
                    (_lastWarmUp, _warm) = (step.Step, now);
                }

                return;
            }

            var timed = step.Step - _lastWarmUp;
            if (!_done.IsCancellationRequested && timed >= FewestTimed && (timed >= MostTimed || _time.GetElapsedTime(_warm, now) >= TimedTime))
            {
                _last = step.Step;
                _ = _done.CancelAsync();
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    /// <summary>What is not exchange or update of the middle step is its computing: with whatever held its workers up meanwhile.</summary>
    private (StepCost Cost, MeasuredPeak Peak) Read(string folder, LocalRunResult result, MeasuredStep step, int workers)
    {
        var steps = Lines(folder, "metrics.jsonl").Where(IsTimed).ToList();
        if (steps.Any(s => (int)s["microBatch"]! != step.Geometry.Micro))
        {
            throw new MeasureException($"Memory ran out with micro-batches of {step.Geometry.Micro:N0} and {Words.Count(workers, "worker")}: measure with a smaller batch.micro, or fewer workers.")
            {
                IsShort = true,
            };
        }

        // A batch may end an epoch.
        var whole = steps.Where(s => (long)s["globalBatch"]! == step.Samples).Select(s => (long)s["step"]!).ToHashSet();
        var ranks = Lines(folder, "workers.jsonl").Where(w => (string)w["kind"]! == "train" && whole.Contains((long)w["step"]!)).ToLookup(w => (long)w["step"]!);
        if (whole.Count == 0 || result.SummaryJson is null)
        {
            throw new MeasureException($"The steps of {Words.Count(workers, "worker")} left no lines behind: see that there is room for temporary files.");
        }

        var exchange = Median(ranks.Select(r => r.Min(w => (double)w["exchangeMs"]!))) / 1000;
        var update = Median(ranks.Select(r => r.Max(w => (double)w["applyMs"]!))) / 1000;
        var total = Median(steps.Where(s => whole.Contains((long)s["step"]!)).Select(s => (double)s["stepMs"]!)) / 1000;
        var slowest = StepPlan.Of(step.Samples, step.Geometry, workers).Ranks.Max(r => r.Samples);
        var perSample = Math.Max(0, total - exchange - update) / slowest;
        var peak = (long)JsonNode.Parse(result.SummaryJson)!["peakRssBytes"]!["worker"]!;
        return (new StepCost(workers, perSample, exchange, update, perSample * PartOfEvaluation), new MeasuredPeak(workers, step, peak));

        bool IsTimed(JsonNode line) => (long)line["step"]! > _lastWarmUp && (long)line["step"]! <= _last;
    }

    private static IReadOnlyList<JsonNode> Lines(string folder, string file) =>
        LineFile<JsonNode>.Read(Path.Combine(folder, file), line => JsonNode.Parse(line)).Lines;

    private static double Median(IEnumerable<double> values) => Benching.Median.Of(values).Value;
}
