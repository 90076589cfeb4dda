using DistTrain.Core.Batches;
using DistTrain.Core.Layouts;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Replicas;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>
/// What travels while its worker still computes. The backward pass is stopped between its two layers until that has happened, so that a test in which nothing travels early fails at its deadline; bits
/// are those of a worker alone.
/// </summary>
public sealed class OverlapTests : IAsyncLifetime
{
    private const int Micro = 4;
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], TimeSpan.FromSeconds(1));
    private LinkedPair _pair = null!;

    public async ValueTask InitializeAsync()
    {
        _pair = await LinkedPair.StartAsync((_, settings) => settings);
        await _pair.LinkAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _pair.DisposeAsync();
        await _alone.DisposeAsync();
    }

    [Fact]
    public async Task A_finished_node_travels_while_the_next_block_is_computed()
    {
        // 0 1 | 2 and 3: the first worker sends (1,0) before it has computed block 2. One chunk a shard, so that nothing else can go early.
        const int width = 40;
        var slice = Slice(width);
        var sent = 0L;
        await using var first = new Member(width, pass => sent = pass == 3 ? Await(() => _pair.Groups[0].BytesSent, slice) : 0);
        await using var second = new Member(width);
        await using var one = new Member(width);
        var expected = await one.ExecuteAsync(_alone, blocks: 4, WorkShare.Of(new BlockRange(0, 4)));

        WorkShare[] shares = [WorkShare.Of(new BlockRange(0, 3)), WorkShare.Of(new BlockRange(3, 4))];
        var reports = await Task.WhenAll(first.ExecuteAsync(_pair.Groups[0], 4, shares), second.ExecuteAsync(_pair.Groups[1], 4, shares));
        Assert.Null(first.Failure);
        Assert.Equal(slice, sent);
        Assert.All(reports, r => Assert.Equal(expected, r));
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(8, 1)]
    [InlineData(7, 3)]
    public async Task Gradients_travel_and_are_reduced_while_the_last_backward_pass_goes_on(int blocks, int cut)
    {
        // Names put the second layer, which is final first, into the second shard: the first worker sends its gradients, the second one the sums of both.
        const int width = 400;
        WorkShare[] shares = [WorkShare.Of(new BlockRange(0, cut)), WorkShare.Of(new BlockRange(cut, blocks))];
        var early = shares.Select(s => ((s.Cover(new ReductionTree(blocks)).Count - 1) * Slice(width)) + Early(width)).ToArray();
        var before = new long[2];
        await using var first = new Member(width, pass => Awaits(pass, cut, 0));
        await using var second = new Member(width, pass => Awaits(pass, blocks - cut, 1));
        await using var one = new Member(width);
        for (var step = 0; step < 2; step++)
        {
            var expected = await one.ExecuteAsync(_alone, blocks, WorkShare.Of(new BlockRange(0, blocks)));
            before = [.. _pair.Groups.Select(g => g.BytesSent)];
            var reports = await Task.WhenAll(first.ExecuteAsync(_pair.Groups[0], blocks, shares), second.ExecuteAsync(_pair.Groups[1], blocks, shares));
            Assert.Equal((null, null), (first.Failure, second.Failure));
            Assert.All(reports, r => Assert.Equal(expected, r));
        }

        void Awaits(int pass, int own, int rank)
        {
            if (pass == own)
            {
                Await(() => _pair.Groups[rank].BytesSent, before[rank] + early[rank]);
            }
        }
    }

    [Theory]
    [InlineData(0)]
    [InlineData(1)]
    public async Task A_worker_that_is_lost_in_the_middle_of_an_early_send_leaves_no_trace(int survivor)
    {
        const int width = 400;
        const int blocks = 4;
        var lost = 1 - survivor;
        using var generation = new CancellationTokenSource();
        using var isLost = new ManualResetEventSlim();
        var reached = Enumerable.Range(0, 2).Select(_ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously)).ToList();
        var early = Early(width);
        await using var staying = new Member(width, pass => Stop(pass, survivor));
        await using var leaving = new Member(width, pass => Stop(pass, lost));
        await using var one = new Member(width);
        var expected = await one.ExecuteAsync(_alone, blocks, WorkShare.Of(new BlockRange(0, blocks)));

        WorkShare[] shares = [WorkShare.Of(new BlockRange(0, 2)), WorkShare.Of(new BlockRange(2, 4))];
        var own = staying.ExecuteAsync(_pair.Groups[survivor], blocks, shares, generation.Token);
        var other = leaving.ExecuteAsync(_pair.Groups[lost], blocks, shares, generation.Token);
        await Task.WhenAll(reached.Select(r => r.Task)).WaitAsync(Deadline, TestContext.Current.CancellationToken);
        await _pair.EndAsync(lost);
        Assert.Equal(lost, (await _pair.Groups[survivor].Broken.WaitAsync(Deadline, TestContext.Current.CancellationToken)).Rank);
        await generation.CancelAsync();
        await _pair.EndAsync(survivor);
        isLost.Set();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => own);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => other);
        Assert.Equal((null, null), (staying.Failure, leaving.Failure));

        // What the survivor had sent early is a node like any other when it is complete; what the other one had is nobody's.
        Assert.Equal([new NodeId(1, survivor)], staying.Held);
        var share = new WorkShare(staying.Held, [new BlockRange(2 * lost, (2 * lost) + 2)]);
        Assert.Equal(expected, await staying.ExecuteAsync(_alone, blocks, share));

        void Stop(int pass, int rank)
        {
            if (pass != 2 || isLost.IsSet)
            {
                return;
            }

            Await(() => _pair.Groups[rank].BytesSent, early);
            reached[rank].SetResult();
            Assert.True(isLost.Wait(Deadline));
        }
    }

    private static long Slice(int width) => new ShardTable(Layout(width).Tiles, 2).Chunks(1).Sum(c => c.Count) * (long)sizeof(float);

    /// <summary>What of the second shard does not have to wait for the header.</summary>
    private static long Early(int width) => new ShardTable(Layout(width).Tiles, 2).Chunks(1).Skip(1).Sum(c => c.Count) * (long)sizeof(float);

    private static ParameterLayout Layout(int width) => new([
        ("first.bias", [width], SlotKind.Parameter), ("first.weight", [width, width], SlotKind.Parameter),
        ("second.bias", [width], SlotKind.Parameter), ("second.weight", [width, width], SlotKind.Parameter),
    ]);

    private static long Await(Func<long> bytes, long atLeast)
    {
        Assert.True(SpinWait.SpinUntil(() => bytes() >= atLeast, Deadline), $"{bytes()} bytes instead of {atLeast} travelled early.");
        return bytes();
    }

    /// <summary>A worker's state, and its steps.</summary>
    private sealed class Member : IAsyncDisposable
    {
        private readonly ComputeThread _compute = new();
        private readonly LayersTask _task;
        private readonly Replica _replica;
        private readonly StepExecutor _executor;
        private int _passes;

        /// <summary>A worker.</summary>
        /// <param name="width">Width of the layers.</param>
        /// <param name="between">Told of every backward pass of an operation, from 1, between its layers.</param>
        public Member(int width, Action<int>? between = null)
        {
            _task = new LayersTask(width, () => between?.Invoke(++_passes));
            var options = LocalCluster.Options($"batch.global={Micro}", $"batch.micro={Micro}", "optimizer.momentum=0.9");
            _replica = _compute.RunAsync(() => new Replica(_task, options, ComputeDevice.Cpu)).GetAwaiter().GetResult();
            _executor = new StepExecutor(_replica, applied: 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, TimeProvider.System);
        }

        public Exception? Failure => _task.Failure;

        public IReadOnlyList<NodeId> Held => _executor.Held;

        /// <summary>The next step, a micro-batch a block.</summary>
        /// <returns>The hash of the weights.</returns>
        public Task<string> ExecuteAsync(PeerGroup peers, int blocks, params WorkShare[] shares) => ExecuteAsync(peers, blocks, shares, CancellationToken.None);

        public async Task<string> ExecuteAsync(PeerGroup peers, int blocks, WorkShare[] shares, CancellationToken cancellation)
        {
            _passes = 0;
            var number = _executor.Applied + 1;
            var operation = new Operation(
                number, OperationKind.Train, (long)number, new SampleRange(0, 0, blocks * Micro), new BatchGeometry(blocks * Micro, Micro, blocks), 0.001,
                WritesCheckpoint: false, IsLast: false);
            return (await _executor.ExecuteAsync(operation, shares, peers, cancellation))!.WeightsHash;
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
