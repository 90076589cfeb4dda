using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Protocol.Exchange;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;
using Grpc.Core;
using Microsoft.Extensions.Time.Testing;

namespace DistTrain.Cluster.Tests;

/// <summary>What a joiner is sent is the state as it was when it asked, whatever the source does meanwhile, and then everything the source applies.</summary>
public sealed class StateFeedTests : IAsyncDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly ComputeThread _compute = new();
    private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], Soon);
    private readonly ITrainingTask _task;
    private readonly Replica _replica;
    private readonly StepExecutor _executor;
    private ulong _operation;

    public StateFeedTests()
    {
        // Two vectors of 4.1 million numbers: each is more than one piece of a feed.
        var options = LocalCluster.Options("model.hidden=2020", "batch.global=4", "batch.micro=4", "optimizer.momentum=0.9");
        _task = PatternTask.Catalog.Create(options);
        _replica = _compute.RunAsync(() =>
        {
            TorchRuntime.Load(1, RunOptions.Avx2Instructions);
            return new Replica(_task, options, ComputeDevice.Cpu);
        }).GetAwaiter().GetResult();
        _executor = new StepExecutor(_replica, 0, _compute, foldPerWorker: false, afterMicroBatch: () => { }, TimeProvider.System);
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
        _task.Dispose();
    }

    [Theory]
    [InlineData(0)]
    [InlineData(3)]
    [InlineData(66)]
    [InlineData(100)]
    public async Task Steps_in_the_middle_of_a_copy_do_not_show_in_it_and_follow_it(int chunks)
    {
        await StepAsync();
        var before = Copy();
        using var feed = await _executor.FeedAsync();
        var joiner = new Joiner(chunks);
        var sending = feed.SendAsync(joiner, Soon, TimeProvider.System, CancellationToken.None);
        await joiner.Paused.WaitAsync(Soon, TestContext.Current.CancellationToken);
        await StepAsync();
        await StepAsync();
        Assert.NotEqual(before, Copy());
        joiner.GoOn();
        await joiner.OperationsAsync(2).WaitAsync(Soon, TestContext.Current.CancellationToken);

        Assert.Equal(1UL, joiner.Header!.Applied);
        Assert.Equal(before, joiner.State(_replica.State.Count, _replica.Layout.Count));
        Assert.Equal([2UL, 3UL], joiner.Applied);
        feed.Dispose();
        await Assert.ThrowsAsync<InvalidOperationException>(() => sending);
    }

    [Fact]
    public async Task A_joiner_that_falls_behind_is_cut_off_and_no_step_waits_for_it()
    {
        using var feed = await _executor.FeedAsync();
        var joiner = new Joiner(2);
        var sending = feed.SendAsync(joiner, Soon, TimeProvider.System, CancellationToken.None);
        await joiner.Paused.WaitAsync(Soon, TestContext.Current.CancellationToken);
        for (var step = 0; step < 6; step++)
        {
            await StepAsync().WaitAsync(Soon, TestContext.Current.CancellationToken);
        }

        Assert.True(feed.IsOver);
        joiner.GoOn();
        var cut = await Assert.ThrowsAsync<InvalidOperationException>(() => sending);
        Assert.Equal("the joiner is more than 4 operations behind", cut.Message);
    }

    [Fact]
    public async Task Nothing_is_kept_for_a_joiner_that_was_cut_off()
    {
        using var feed = await _executor.FeedAsync();
        var joiner = new Joiner(2);
        var sending = feed.SendAsync(joiner, Soon, TimeProvider.System, CancellationToken.None);
        await joiner.Paused.WaitAsync(Soon, TestContext.Current.CancellationToken);
        var vectors = Enumerable.Range(0, 5).Select(_ => new ReducedVector(new NativeVector(1), [0])).ToList();
        Assert.Equal([true, true, true, true, false], vectors.Select((vector, i) => feed.Add(Step((ulong)i + 1), new Core.Reduction.NodeHeader(1, 4, []), vector)));
        Assert.DoesNotContain(vectors, vector => vector.IsRead);
        joiner.GoOn();
        await Assert.ThrowsAsync<InvalidOperationException>(() => sending);
        vectors.ForEach(vector => vector.Values.Dispose());
    }

    [Fact]
    public async Task A_joiner_that_takes_nothing_is_given_up()
    {
        var time = new FakeTimeProvider();
        using var feed = await _executor.FeedAsync();
        var joiner = new Joiner(2);
        var sending = feed.SendAsync(joiner, TimeSpan.FromSeconds(60), time, CancellationToken.None);
        await joiner.Paused.WaitAsync(Soon, TestContext.Current.CancellationToken);
        time.Advance(TimeSpan.FromSeconds(59));
        Assert.False(sending.IsCompleted);
        time.Advance(TimeSpan.FromSeconds(1));
        var over = await Assert.ThrowsAsync<InvalidOperationException>(() => sending.WaitAsync(Soon, TestContext.Current.CancellationToken));
        Assert.Equal("the joiner took nothing for 60 s", over.Message);
        Assert.True(feed.IsOver);
    }

    [Fact]
    public async Task A_state_that_is_given_up_is_read_by_nobody()
    {
        using var feed = await _executor.FeedAsync();
        var joiner = new Joiner(2);
        var sending = feed.SendAsync(joiner, Soon, TimeProvider.System, CancellationToken.None);
        await joiner.Paused.WaitAsync(Soon, TestContext.Current.CancellationToken);
        await _executor.CloseFeedsAsync();
        joiner.GoOn();
        var over = await Assert.ThrowsAsync<InvalidOperationException>(() => sending);
        Assert.Equal("the source does not go on with its state", over.Message);
        await Assert.ThrowsAsync<InvalidOperationException>(_executor.FeedAsync);
        _executor.ReopenFeeds();
        using var again = await _executor.FeedAsync();
        Assert.False(again.IsOver);
    }

    private static Operation Step(ulong number) =>
        new(number, OperationKind.Train, (long)number, new SampleRange(0, 0, 4), new BatchGeometry(4, 4, 1), 0.1, WritesCheckpoint: false, IsLast: false);

    private Task StepAsync() => _executor.ExecuteAsync(
        Step(++_operation), [WorkShare.Of(new BlockRange(0, 1))], _alone, CancellationToken.None);

    private float[] Copy() => [.. _replica.State.SelectMany(s => s.Vector.Span(0, (int)s.Vector.Count).ToArray())];

    /// <summary>Takes a number of chunks, then no more until it is told to go on.</summary>
    private sealed class Joiner(int chunks) : IServerStreamWriter<ChunkFrame<StateChunk>>
    {
        private readonly TaskCompletionSource _paused = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _goOn = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly TaskCompletionSource _whole = new(TaskCreationOptions.RunContinuationsAsynchronously);
        private readonly List<(int Vector, long Offset, float[] Values)> _state = [];
        private int _taken;
        private int _operations = int.MaxValue;

        public StateHeader? Header { get; private set; }

        public List<ulong> Applied { get; } = [];

        public Task Paused => _paused.Task;

        public WriteOptions? WriteOptions { get; set; }

        public void GoOn() => _goOn.SetResult();

        public Task OperationsAsync(int count)
        {
            lock (_state)
            {
                _operations = count;
                if (Applied.Count >= count)
                {
                    _whole.TrySetResult();
                }
            }

            return _whole.Task;
        }

        public IEnumerable<float> State(int vectors, long count)
        {
            var found = Enumerable.Range(0, vectors).Select(_ => new float[count]).ToList();
            foreach (var (vector, offset, values) in _state)
            {
                values.CopyTo(found[vector], offset);
            }

            return found.SelectMany(v => v);
        }

        public Task WriteAsync(ChunkFrame<StateChunk> message, CancellationToken cancellationToken) => WriteAsync(message).WaitAsync(cancellationToken);

        public async Task WriteAsync(ChunkFrame<StateChunk> message)
        {
            if (message.Head.State is not null)
            {
                Header = message.Head.State;
            }
            else if (message.Head.Applied is not null)
            {
                lock (_state)
                {
                    Applied.Add(message.Head.Applied.Operation);
                    if (Applied.Count >= _operations)
                    {
                        _whole.TrySetResult();
                    }
                }
            }
            else if (Applied.Count == 0)
            {
                _state.Add(((int)message.Head.Vector, message.Head.Offset, message.Payload.Values.ToArray()));
            }

            if (_taken++ == chunks)
            {
                _paused.SetResult();
                await _goOn.Task;
            }
        }
    }
}
