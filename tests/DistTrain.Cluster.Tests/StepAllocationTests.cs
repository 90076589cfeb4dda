using DistTrain.Cluster.Tests.Exchange;
using DistTrain.Core.Batches;
using DistTrain.Core.Layouts;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests;

/// <summary>
/// What the steps of two workers allocate of managed memory: one micro-batch each, the exchange over real links, the update. At 25 million parameters, in processes of their own and with a coordinator,
/// <c>acceptance/bench.sh</c> holds a worker to 64 kB, by shared memory, too: there the two ends of a pair would here take the runtime's pooled waits from each other.
/// </summary>
[Collection(AloneInProcess.Name)]
public sealed class StepAllocationTests(ITestOutputHelper output)
{
    private const int Micro = 8;
    private const int WarmUp = 20;
    private const int Steps = 20;

    /// <summary>For a worker.</summary>
    private const double Limit = 64_000;

    /// <summary>For a worker and each chunk of its own shard and one of the other's. 25 million parameters are 204 of them.</summary>
    private const double ChunkLimit = 200;

    [Fact]
    public async Task A_step_allocates_little_and_hardly_more_where_the_model_is_larger()
    {
        var (small, few) = await MeasureAsync(hidden: 100);
        var (large, many) = await MeasureAsync(hidden: 3000);
        var perChunk = (large - small) / (many - few);
        output.WriteLine($"{small:F0} bytes a step with {few} chunks a worker, {large:F0} with {many}: {perChunk:F1} a chunk");
        Assert.InRange(large, 1, Limit);
        Assert.InRange(perChunk, -ChunkLimit, ChunkLimit);
    }

    /// <summary>Bytes of a worker, and how many chunks its shard has.</summary>
    private static async Task<(double Bytes, int Chunks)> MeasureAsync(int hidden)
    {
        await using var pair = await LinkedPair.StartAsync((_, settings) => settings with { Transports = [Transports.Tcp] });
        Assert.Equal(Transports.Tcp, (await pair.LinkAsync()).Transport);
        await using var first = new Member(hidden);
        await using var second = new Member(hidden);
        await StepAsync(WarmUp);
        var before = GC.GetTotalAllocatedBytes(precise: true);
        await StepAsync(Steps);
        return ((GC.GetTotalAllocatedBytes(precise: true) - before) / 2.0 / Steps, first.Chunks);

        async Task StepAsync(int steps)
        {
            for (var i = 0; i < steps; i++)
            {
                await Task.WhenAll(first.StepAsync(pair.Groups[0]), second.StepAsync(pair.Groups[1]));
            }
        }
    }

    private sealed class Member : IAsyncDisposable
    {
        private readonly ComputeThread _compute = new();
        private readonly ITrainingTask _task;
        private readonly Replica _replica;
        private readonly StepExecutor _executor;

        public Member(int hidden)
        {
            var options = LocalCluster.Options($"batch.global={2 * Micro}", $"batch.micro={Micro}", $"model.hidden={hidden}", "optimizer.momentum=0.9");
            _task = PatternTask.Catalog.Create(options);
            _replica = _compute.RunAsync(() =>
            {
                TorchRuntime.Load(1, RunOptions.Avx2Instructions);
                return new Replica(_task, options, ComputeDevice.Cpu);
            }).GetAwaiter().GetResult();
            _executor = new StepExecutor(_replica, applied: 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, TimeProvider.System);
        }

        public int Chunks => new ShardTable(_replica.Layout.Tiles, 2).Chunks(0).Count;

        public async Task StepAsync(PeerGroup peers)
        {
            var number = _executor.Applied + 1;
            var operation = new Operation(
                number, OperationKind.Train, (long)number, new SampleRange(0, 0, 2 * Micro), new BatchGeometry(2 * Micro, Micro, 2), 0.001, WritesCheckpoint: false, IsLast: false);
            Assert.NotNull(await _executor.ExecuteAsync(
                operation, [WorkShare.Of(new BlockRange(0, 1)), WorkShare.Of(new BlockRange(1, 2))], peers, CancellationToken.None));
        }

        public async ValueTask DisposeAsync()
        {
            await _compute.RunAsync(() =>
            {
                _executor.Dispose();
                _replica.Dispose();
            });
            await _compute.DisposeAsync();
            _task.Dispose();
        }
    }
}
