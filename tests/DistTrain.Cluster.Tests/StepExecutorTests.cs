using DistTrain.Core.Batches;
using DistTrain.Core.Membership;
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

namespace DistTrain.Cluster.Tests;

/// <summary>A worker that has no memory for a node says the same as one that has none for a micro-batch, and goes on with smaller ones.</summary>
public sealed class StepExecutorTests : IAsyncDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly ComputeThread _compute = new();
    private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], Soon);
    private readonly PeerGroup _aloneAgain = new(default, 0, [new Uri("http://127.0.0.1:1")], Soon);
    private readonly ITrainingTask _task;
    private readonly Replica _replica;
    private readonly LimitedPool _pool;
    private readonly StepExecutor _executor;

    public StepExecutorTests()
    {
        var options = LocalCluster.Options("batch.global=16", "batch.micro=4");
        _task = PatternTask.Catalog.Create(options);
        _replica = _compute.RunAsync(() =>
        {
            TorchRuntime.Load(1, RunOptions.Avx2Instructions);
            return new Replica(_task, options, ComputeDevice.Cpu);
        }).GetAwaiter().GetResult();
        _pool = new LimitedPool(_replica.CreateNodes());
        _executor = new StepExecutor(_replica, 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, TimeProvider.System, gradients: _pool);
    }

    public async ValueTask DisposeAsync()
    {
        await _compute.RunAsync(() =>
        {
            _executor.Dispose();
            _replica.Dispose();
        });
        await _compute.DisposeAsync();
        await _alone.DisposeAsync();
        await _aloneAgain.DisposeAsync();
        _task.Dispose();
    }

    [Fact]
    public async Task No_room_for_a_node_is_told_as_a_micro_batch_that_does_not_fit()
    {
        _pool.Left = 1;
        var shortage = await Assert.ThrowsAsync<MicroBatchException>(() => ExecuteAsync(4, _alone));
        Assert.Equal((1UL, "There is none."), (shortage.Operation, shortage.Message));

        // The second block was added to the first, in its memory.
        Assert.Equal((0UL, 2), (_executor.Applied, _executor.BlocksDone));
        _pool.Left = 100;
        Assert.Equal(8, (await ExecuteAsync(2, _aloneAgain))!.Blocks);
    }

    private Task<OperationReport?> ExecuteAsync(int micro, PeerGroup peers)
    {
        var operation = new Operation(1, OperationKind.Train, 1, new SampleRange(0, 0, 16), new BatchGeometry(16, micro, 8), 0.1, false, false);
        return _executor.ExecuteAsync(operation, [WorkShare.Of(new BlockRange(0, operation.Batches.Blocks))], peers, TestContext.Current.CancellationToken)
            .WaitAsync(Soon, TestContext.Current.CancellationToken);
    }

    private sealed class LimitedPool(NodePool inner) : NodePool
    {
        public int Left { get; set; }

        public override NodeBuffer Rent() => Left-- > 0 ? inner.Rent() : throw new InsufficientMemoryException("There is none.");

        public override void Return(NodeBuffer node) => inner.Return(node);

        public override void Dispose() => inner.Dispose();
    }
}
