using DistTrain.Core.Batches;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Core.Tuning;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests;

/// <summary>What a worker does when it has no memory for a node or is cut short, and what it loads meanwhile.</summary>
public sealed class StepExecutorTests : IAsyncDisposable
{
    private const string Loader = "data";
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly ComputeThread _compute = new();
    private readonly PeerGroup _alone = Alone();
    private readonly PeerGroup _aloneAgain = Alone();
    private readonly LoadAccount _account = new();
    private readonly ITrainingTask _task;
    private readonly Replica _replica;
    private readonly LimitedPool _pool;
    private readonly StepExecutor _executor;

    public StepExecutorTests()
    {
        var options = LocalCluster.Options("batch.global=16", "batch.micro=4");
        _task = _account.Watch(PatternTask.Catalog.Create(options));
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

    [Fact]
    public async Task The_first_micro_batch_of_the_next_operation_is_loaded_before_it_begins()
    {
        _pool.Left = 100;
        var (first, second) = (Operation(4), Operation(4, number: 2));
        _executor.Expect(first, All(first));
        Assert.True(_account.Await(1, Soon));
        _executor.Expect(second, All(second));
        await ExecuteAsync(4, _alone);
        Assert.True(_account.Await(5, Soon));
        Assert.Equal((Loader, Loader), (_account.Threads[0], _account.Threads[4]));
        Assert.True(SpinWait.SpinUntil(() => _account.Left == 2, Soon));

        await _executor.ExecuteAsync(second, [All(second)], _alone, TestContext.Current.CancellationToken).WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.Equal((2UL, 8, 0), (_executor.Applied, _account.Threads.Count, _account.Left));
    }

    [Fact]
    public async Task What_was_loaded_for_blocks_that_are_not_computed_is_given_back()
    {
        using var over = new CancellationTokenSource();
        _pool.Left = 100;
        _account.BeforeLoss = () =>
        {
            Assert.True(_account.Await(2, Soon));
            over.Cancel();
        };
        var operation = Operation(4);
        await Assert.ThrowsAsync<OperationCanceledException>(() => _executor.ExecuteAsync(operation, [All(operation)], _alone, over.Token).WaitAsync(Soon, TestContext.Current.CancellationToken));
        Assert.True(SpinWait.SpinUntil(() => _account.Left == 2, Soon));
        await _executor.ForgetExpectedAsync();
        Assert.Equal((0, 1, 2), (_account.Left, _executor.BlocksDone, _account.Threads.Count));
    }

    /// <summary>
    /// Whether it is cut off between two blocks or within one, the next generation goes on from what is whole, and ends with the same bits. Eight blocks, so that sums of all heights are
    /// waiting, and no more memory than is predicted.
    /// </summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task An_operation_that_was_cut_off_anywhere_is_gone_on_with_from_its_nodes(bool within)
    {
        var operation = Operation(2);
        var tree = new ReductionTree(operation.Batches.Blocks);
        var (expected, helds) = ("", new List<string>());
        for (var cut = 0; cut <= (within ? 8 : 7); cut++)
        {
            var (calls, end) = (0, cut);
            using var over = new CancellationTokenSource();
            var replica = await _compute.RunAsync(() => new Replica(_task, LocalCluster.Options("batch.global=16", "batch.micro=2"), ComputeDevice.Cpu));
            var pool = new LimitedPool(replica.CreateNodes()) { Left = MemoryModel.MostNodes(tree, new BlockRange(0, 8), addsOnTop: true) };
            var executor = new StepExecutor(replica, 0, _compute, foldPerWorker: false, AfterMicroBatch, TimeProvider.System, gradients: pool);
            if (cut > 0)
            {
                await using var first = Alone();
                var thrown = await Assert.ThrowsAnyAsync<Exception>(() => executor.ExecuteAsync(operation, [All(operation)], first, over.Token).WaitAsync(Soon, TestContext.Current.CancellationToken));
                Assert.Equal(within, thrown is IOException);
                pool.Left = 100;
            }

            helds.Add(string.Join(' ', executor.Held.OrderBy(ReductionTree.FirstBlock)));
            end = 0;
            await using var second = Alone();
            var shares = WorkShare.Recover(Salvage.Of(tree, [executor.Held]), [new WorkerSpeed(1)], 0);
            var report = await executor.ExecuteAsync(operation, shares, second, TestContext.Current.CancellationToken).WaitAsync(Soon, TestContext.Current.CancellationToken);
            expected = cut == 0 ? report!.WeightsHash : expected;
            Assert.Equal(expected, report!.WeightsHash);
            Assert.Equal(8, report.Blocks + shares[0].Held.Sum(node => tree.EndBlock(node) - ReductionTree.FirstBlock(node)));
            await _compute.RunAsync(() =>
            {
                executor.Dispose();
                replica.Dispose();
            });

            void AfterMicroBatch()
            {
                if (++calls == end)
                {
                    over.Cancel();
                    if (within)
                    {
                        throw new IOException("The block is not finished.");
                    }
                }
            }
        }

        // A block that is accumulated on top of another takes that with it.
        Assert.Equal(
            within
                ? ["", "", "", "(1,0)", "(1,0)", "(2,0)", "(2,0)", "(2,0) (1,2)", "(2,0) (1,2)"]
                : ["", "(0,0)", "(1,0)", "(1,0) (0,2)", "(2,0)", "(2,0) (0,4)", "(2,0) (1,2)", "(2,0) (1,2) (0,6)"],
            helds);
    }

    private static PeerGroup Alone() => new(default, 0, [new Uri("http://127.0.0.1:1")], Soon);

    private static Operation Operation(int micro, ulong number = 1) =>
        new(number, OperationKind.Train, (long)number, new SampleRange(0, (long)(number - 1) * 16, 16), new BatchGeometry(16, micro, 8), 0.1, false, false);

    private static WorkShare All(Operation operation) => WorkShare.Of(new BlockRange(0, operation.Batches.Blocks));

    private Task<OperationReport?> ExecuteAsync(int micro, PeerGroup peers)
    {
        var operation = Operation(micro);
        return _executor.ExecuteAsync(operation, [All(operation)], peers, TestContext.Current.CancellationToken)
            .WaitAsync(Soon, TestContext.Current.CancellationToken);
    }

    private sealed class LimitedPool(NodePool inner) : NodePool
    {
        public int Left { get; set; }

        public override NodeBuffer Rent() => Left-- > 0 ? inner.Rent() : throw new InsufficientMemoryException("There is none.");

        public override void Return(NodeBuffer node)
        {
            Left++;
            inner.Return(node);
        }

        public override void Dispose() => inner.Dispose();
    }
}
