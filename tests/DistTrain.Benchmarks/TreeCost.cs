using System.Diagnostics;
using DistTrain.Benching;
using DistTrain.Cli.Tasks;
using DistTrain.Core.Batches;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;

namespace DistTrain.Benchmarks;

/// <summary>
/// What blocks, tree and all-reduce cost a step of one worker, whose whole purpose is the same bits on many: the worker's own executor against the
/// accumulation of the same micro-batches into one buffer, norm and update included in both.
/// </summary>
internal static class TreeCost
{
    private const int Micro = 32;

    public static async Task RunAsync(int pairs)
    {
        Console.WriteLine("Model cnn, 28 x 28, dropout 0.25, micro-batch 32, one torch thread. Added cost = (with tree / plain - 1) of a pair.\n");
        Console.WriteLine("| global batch | K | blocks of the worker | plain ms | added wall time | added CPU time | pairs |");
        Console.WriteLine("|---|---|---|---|---|---|---|");
        TorchRuntime.Load(1);
        foreach (var (global, steps) in new[] { (512, 4), (2048, 1) })
        {
            await using var bench = new Bench(global);
            await MeasureAsync(bench, new BlockRange(0, bench.Blocks), steps, pairs);
            await MeasureAsync(bench, new BlockRange(3, bench.Blocks - 2), steps, pairs);
        }

        Console.WriteLine("\nMedians; 95 % intervals from order statistics. The aligned range is the whole step, executed by the worker's StepExecutor; "
            + "an unaligned one is folded to its cover nodes, without exchange and update.");
    }

    private static async Task MeasureAsync(Bench bench, BlockRange range, int steps, int pairs)
    {
        var (wall, processor, plainMs) = (new List<double>(), new List<double>(), new List<double>());
        for (var pair = -2; pair < pairs; pair++)
        {
            // Who goes first alternates, so that a drift of the machine's speed favours neither.
            var treeFirst = pair % 2 == 0;
            var first = await TimeAsync(() => treeFirst ? bench.TreeAsync(range) : bench.PlainAsync(range), steps);
            var second = await TimeAsync(() => treeFirst ? bench.PlainAsync(range) : bench.TreeAsync(range), steps);
            var (tree, plain) = treeFirst ? (first, second) : (second, first);
            if (pair >= 0)
            {
                wall.Add((tree.Wall / plain.Wall - 1) * 100);
                processor.Add((tree.Processor / plain.Processor - 1) * 100);
                plainMs.Add(plain.Wall * 1000 / steps);
            }
        }

        Console.WriteLine(
            $"| {bench.Global} | {bench.Blocks} | [{range.First}, {range.End}) | {Median.Of(plainMs).Value:0} "
            + $"| {Median.Of(wall).Percent} | {Median.Of(processor).Percent} | {pairs} |");
    }

    private static async Task<(double Wall, double Processor)> TimeAsync(Func<Task> step, int steps)
    {
        using var process = Process.GetCurrentProcess();
        var (processor, started) = (process.TotalProcessorTime, Stopwatch.GetTimestamp());
        for (var i = 0; i < steps; i++)
        {
            await step();
        }

        var wall = Stopwatch.GetElapsedTime(started).TotalSeconds;
        process.Refresh();
        return (wall, (process.TotalProcessorTime - processor).TotalSeconds);
    }

    /// <summary>Two replicas of one run: one is trained through the tree, one without.</summary>
    private sealed class Bench : IAsyncDisposable
    {
        private readonly ComputeThread _compute = new();
        private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], TimeSpan.FromSeconds(1));
        private readonly ITrainingTask _task;
        private readonly Replica _treeReplica;
        private readonly Replica _plainReplica;
        private readonly StepExecutor _executor;
        private readonly NodePool _pool;
        private readonly NodeBuffer _sum;
        private readonly double[] _squares;
        private ulong _operation;

        public Bench(int global)
        {
            Global = global;
            Geometry = new BatchGeometry(global, Micro, 64);
            Blocks = new BatchPlan(global, Geometry).Blocks;
            var (options, problems) = OptionsReader.ReadRun(new Dictionary<string, string>
            {
                ["task"] = "image-classification",
                ["model.name"] = "cnn",
                ["model.dropout"] = "0.25",
                ["data.name"] = "fashion-mnist",
                ["batch.global"] = $"{global}",
                ["batch.micro"] = $"{Micro}",
                ["optimizer.learningRate"] = "0.01",
                ["optimizer.weightDecay"] = "0.0002",
                ["clip.globalNorm"] = "1",
                ["stop.epochs"] = "1",
            });
            _task = problems.Count == 0 ? BuiltInTasks.Catalog().Create(options) : throw new InvalidOperationException(string.Join(' ', problems));
            (_treeReplica, _plainReplica) = _compute.RunAsync(() => (new Replica(_task, options, ComputeDevice.Cpu), new Replica(_task, options, ComputeDevice.Cpu))).GetAwaiter().GetResult();
            _executor = new StepExecutor(_treeReplica, applied: 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, time: TimeProvider.System);
            _pool = _treeReplica.CreateNodes();
            _sum = _pool.Rent();
            _squares = new double[_plainReplica.Layout.Tiles.Count];
        }

        public int Global { get; }

        public int Blocks { get; }

        private BatchGeometry Geometry { get; }

        /// <summary>The range as a worker computes it.</summary>
        public Task TreeAsync(BlockRange range)
        {
            var operation = Operation(new SampleRange(0, 0, Global), Geometry);
            return range == new BlockRange(0, Blocks)
                ? _executor.ExecuteAsync(operation, [WorkShare.Of(range)], _alone, CancellationToken.None)
                : _compute.RunAsync(() => Fold(operation, range));
        }

        /// <summary>The same micro-batches, in one buffer.</summary>
        public Task PlainAsync(BlockRange range)
        {
            var batches = new BatchPlan(Global, Geometry);
            var (first, last) = (batches.Block(range.First).First, batches.Block(range.End - 1).End - 1);
            var (start, end) = (batches.MicroBatch(first).First, batches.MicroBatch(last).End);
            var operation = Operation(new SampleRange(0, start, end - start), Geometry with { Blocks = 1 });
            return _compute.RunAsync(() =>
            {
                _plainReplica.Accumulate(operation, 0, _sum, () => { });
                if (range != new BlockRange(0, Blocks))
                {
                    return;
                }

                var tiles = _plainReplica.Layout.Tiles;
                for (var tile = 0; tile < tiles.Count; tile++)
                {
                    _squares[tile] = VectorKernels.SumOfSquares(_sum.ToHost().Span(tiles.Start(tile), tiles.Length(tile)));
                }

                _plainReplica.Apply(_sum.ToHost(), _sum.Header, _squares, operation.LearningRate, operation.Geometry.Global);
            });
        }

        public async ValueTask DisposeAsync()
        {
            await _compute.RunAsync(() =>
            {
                _executor.Dispose();
                _pool.Dispose();
                _treeReplica.Dispose();
                _plainReplica.Dispose();
                _task.Dispose();
            });
            await _compute.DisposeAsync();
            await _alone.DisposeAsync();
        }

        private void Fold(Operation operation, BlockRange range)
        {
            var spec = ReductionSpec.Canonical(
                Blocks, [WorkShare.Of(new BlockRange(0, range.First)), WorkShare.Of(range), WorkShare.Of(new BlockRange(range.End, Blocks))]);
            var fold = new BlockFold(spec, rank: 1, _pool);
            for (var block = range.First; block < range.End; block++)
            {
                var node = fold.Begin(block, _treeReplica.CanAddOnTop(operation, block));
                _treeReplica.Accumulate(operation, block, node.Block, () => { }, onTop: node.IsOnTop);
                node.FoldAll();
                fold.Complete(node);
            }

            fold.Release();
        }

        private Operation Operation(SampleRange samples, BatchGeometry geometry) =>
            new(++_operation, OperationKind.Train, (long)_operation, samples, geometry, 0.01, WritesCheckpoint: false, IsLast: false);
    }
}
