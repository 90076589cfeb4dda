using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Cli.Tasks;
using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Benchmarks;

/// <summary>
/// How much of the loading of data is hidden behind computing: steps of a worker whose data have to be made, beside steps that are given the same tensors at once, and beside the making alone.
/// </summary>
internal static class LoadingShare
{
    private const int Micro = 32;
    private const int Accumulation = 8;
    private const int Steps = 2;
    private const int WarmUp = 8;

    public static async Task RunAsync(int pairs)
    {
        Console.WriteLine($"fashion-mnist-mlp, {Accumulation} micro-batches of {Micro} a step, one worker without coordinator, one torch thread.\n");
        Console.WriteLine("| data | computing, ms a micro-batch | loading | both | hidden | samples/s, over loading and then computing | pairs |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        TorchRuntime.Load(1);
        await MeasureAsync("as they are", [], 0, pairs);
        await MeasureAsync("shifted, flipped, with noise", ["data.shift=2", "data.flip=true", "data.noise=0.1"], 0, pairs);
        await MeasureAsync("made in as long as computing takes", [], 1, pairs);
        Console.WriteLine("\nTimes are the bound of the fastest tenth, in which other work of the machine shows least; hidden is the part of the loading that they do not take longer for. "
            + "The last is a median of pairs with its 95 % interval.");
    }

    /// <summary>One kind of data.</summary>
    /// <param name="name">What it is called.</param>
    /// <param name="keys">Its configuration.</param>
    /// <param name="extra">How much longer each load takes, in times of computing a micro-batch.</param>
    /// <param name="pairs">How many pairs.</param>
    private static async Task MeasureAsync(string name, string[] keys, double extra, int pairs)
    {
        await using var loading = new Trainer(keys);
        await using var given = new Trainer(keys) { IsGiven = true };
        var (computes, loads, boths, rates) = (new List<double>(), new List<double>(), new List<double>(), new List<double>());
        var quickest = double.MaxValue;
        for (var pair = -WarmUp; pair < pairs; pair++)
        {
            loading.Extra = pair == 0 ? TimeSpan.FromSeconds(quickest * extra) : loading.Extra;
            var load = await TimeAsync(loading.LoadAsync);
            var isLoadingFirst = pair % 2 == 0;
            var first = await TimeAsync(isLoadingFirst ? loading.StepAsync : given.StepAsync);
            var second = await TimeAsync(isLoadingFirst ? given.StepAsync : loading.StepAsync);
            var (both, compute) = isLoadingFirst ? (first, second) : (second, first);
            quickest = Math.Min(quickest, compute);
            if (pair >= 0)
            {
                computes.Add(compute * 1000);
                loads.Add(load * 1000);
                boths.Add(both * 1000);
                rates.Add((load + compute) / both);
            }
        }

        var (alone, made, together) = (FastestTenth(computes), FastestTenth(loads), FastestTenth(boths));
        Console.WriteLine(
            $"| {name} | {alone:0.000} | {made:0.000} | {together:0.000} | {(1 - ((together - alone) / made)) * 100:0} % | {Median.Of(rates)} | {pairs} |");
    }

    /// <summary>What they take where nothing else holds them up: the bound of the fastest tenth.</summary>
    private static double FastestTenth(List<double> times) => times.Order().ElementAt(times.Count / 10);

    /// <summary>Seconds a micro-batch.</summary>
    private static async Task<double> TimeAsync(Func<Task> step)
    {
        var started = Stopwatch.GetTimestamp();
        for (var i = 0; i < Steps; i++)
        {
            await step();
        }

        return Stopwatch.GetElapsedTime(started).TotalSeconds / (Steps * Accumulation);
    }

    /// <summary>A worker's state and steps.</summary>
    private sealed class Trainer : IAsyncDisposable
    {
        private readonly ComputeThread _compute = new();
        private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], TimeSpan.FromSeconds(1));
        private readonly ITrainingTask _task;
        private readonly Data _data;
        private readonly Replica _replica;
        private readonly StepExecutor _executor;
        private readonly WorkShare _all = WorkShare.Of(new BlockRange(0, Accumulation));
        private ulong _given;

        public Trainer(IEnumerable<string> keys)
        {
            string[] all =
            [
                "task=image-classification", "model.name=mlp", "model.hidden=512", "model.dropout=0.2", "data.name=fashion-mnist", $"batch.global={Micro * Accumulation}",
                $"batch.micro={Micro}", "optimizer.learningRate=0.01", "stop.epochs=1", .. keys,
            ];
            var (options, problems) = OptionsReader.ReadRun(all.Select(k => k.Split('=')).ToDictionary(k => k[0], k => k[1]));
            _task = problems.Count == 0 ? BuiltInTasks.Catalog().Create(options) : throw new InvalidOperationException(string.Join(' ', problems));
            _data = new Data(_task.Training);
            _replica = _compute.RunAsync(() => new Replica(new Loaded(_task, _data), options, ComputeDevice.Cpu)).GetAwaiter().GetResult();
            _executor = new StepExecutor(_replica, applied: 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, TimeProvider.System);
        }

        /// <summary>See <see cref="Data.IsGiven"/>.</summary>
        public bool IsGiven
        {
            init => _data.IsGiven = value;
        }

        /// <summary>See <see cref="Data.Extra"/>.</summary>
        public TimeSpan Extra
        {
            get => _data.Extra;
            set => _data.Extra = value;
        }

        /// <summary>A step, while whose last micro-batch is computed the first of the next step is loaded, as in a run.</summary>
        public async Task StepAsync()
        {
            var number = _executor.Applied + 1;
            for (; _given <= number; _given++)
            {
                _executor.Expect(Operation(_given + 1), _all);
            }

            await _executor.ExecuteAsync(Operation(number), [_all], _alone, CancellationToken.None);
        }

        /// <summary>The loading of a step's samples, alone.</summary>
        public Task LoadAsync() => _compute.RunAsync(() =>
        {
            for (var i = 0; i < Accumulation; i++)
            {
                _data.LoadForTraining([.. Enumerable.Range(i * Micro, Micro).Select(s => s * 97L)], new ulong[Micro]).Dispose();
            }
        });

        public async ValueTask DisposeAsync()
        {
            await _compute.RunAsync(() =>
            {
                _executor.Dispose();
                _replica.Dispose();
                _data.Dispose();
                _task.Dispose();
            });
            await _compute.DisposeAsync();
            await _alone.DisposeAsync();
        }

        private static Operation Operation(ulong number) => new(
            number, OperationKind.Train, (long)number, new SampleRange(0, (long)(number % 200) * Micro * Accumulation, Micro * Accumulation),
            new BatchGeometry(Micro * Accumulation, Micro, Accumulation), 0.01, WritesCheckpoint: false, IsLast: false);
    }

    /// <summary>The task with other training data.</summary>
    private sealed class Loaded(ITrainingTask inner, IDataset training) : ITrainingTask
    {
        public IDataset Training => training;

        public IDataset Validation => inner.Validation;

        public IReadOnlyList<string> Metrics => inner.Metrics;

        public nn.Module BuildModel() => inner.BuildModel();

        public LossSum Loss(nn.Module model, TensorBatch batch) => inner.Loss(model, batch);

        public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => inner.Evaluate(model, batch, metrics);

        public void Dispose()
        {
        }
    }

    private sealed class Data(IDataset inner) : IDataset, IDisposable
    {
        private TensorBatch? _first;

        /// <summary>Whether the tensors of the first load are given out again and again.</summary>
        public bool IsGiven { get; set; }

        /// <summary>How much longer a load takes, with work for the processor.</summary>
        public TimeSpan Extra { get; set; }

        public long Count => inner.Count;

        public string Fingerprint => inner.Fingerprint;

        public TensorBatch Load(ReadOnlySpan<long> samples) => inner.Load(samples);

        public TensorBatch LoadForTraining(ReadOnlySpan<long> samples, ReadOnlySpan<ulong> keys)
        {
            var started = Stopwatch.GetTimestamp();
            if (IsGiven)
            {
                _first ??= Keep(inner.LoadForTraining(samples, keys));
                return new TensorBatch(_first.Inputs.alias(), _first.Targets.alias());
            }

            var batch = inner.LoadForTraining(samples, keys);
            while (Stopwatch.GetElapsedTime(started) < Extra)
            {
            }

            return batch;
        }

        public void Dispose() => _first?.Dispose();

        private static TensorBatch Keep(TensorBatch batch)
        {
            batch.Inputs.DetachFromDisposeScope();
            batch.Targets.DetachFromDisposeScope();
            return batch;
        }
    }
}
