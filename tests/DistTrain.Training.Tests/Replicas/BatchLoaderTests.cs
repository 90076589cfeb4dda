using DistTrain.Core.Runs;
using DistTrain.TestKit;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Replicas;

/// <summary>What is loaded ahead is what is asked for, or nothing; what goes wrong, goes wrong where it belongs; nothing is left.</summary>
public sealed class BatchLoaderTests : IDisposable
{
    private const string Loader = "data";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    private readonly LoadAccount _account = new();
    private readonly ITrainingTask _task;
    private readonly BatchLoader _loader;

    /// <summary>Of every load, whether it was the loader's own thread that did it.</summary>
    private IEnumerable<bool> Ahead => _account.Threads.Select(thread => thread == Loader);

    public BatchLoaderTests()
    {
        _task = _account.Watch(Bench.Pattern());
        _loader = new BatchLoader(_task, seed: 5);
    }

    public void Dispose()
    {
        _loader.Dispose();
        _task.Dispose();
    }

    [Fact]
    public void The_next_micro_batch_is_loaded_on_another_thread_before_it_is_asked_for()
    {
        using var scope = NewDisposeScope();
        using var first = _loader.Take(Key(0), Key(4));
        Assert.True(_account.Await(2, Deadline));
        using var second = _loader.Take(Key(4), null);
        Assert.Equal([false, true], Ahead);
        AssertIs(Key(0), first);
        AssertIs(Key(4), second);
    }

    [Fact]
    public void What_is_expected_is_loaded_once_the_operation_under_way_has_no_more_to_load()
    {
        var evaluated = new BatchKey(OperationKind.Evaluate, 1, 20, 4);
        using var scope = NewDisposeScope();
        _loader.Expect(Key(8));
        Assert.True(_account.Await(1, Deadline));
        _loader.Take(Key(8), Key(12)).Dispose();
        _loader.Expect(evaluated);
        Assert.True(_account.Await(2, Deadline));
        _loader.Take(Key(12), null).Dispose();
        Assert.True(_account.Await(3, Deadline));
        using var batch = _loader.Take(evaluated, null);
        Assert.Equal([true, true, true], Ahead);
        AssertIs(evaluated, batch);
    }

    [Fact]
    public void What_goes_wrong_ahead_is_thrown_when_it_is_asked_for_and_not_before()
    {
        using var scope = NewDisposeScope();
        _account.Before = _ => throw new DataException("images-3 is cut off: copy it again.");
        _loader.Expect(Key(4));
        Assert.True(_account.Await(1, Deadline));
        _account.Before = _ => { };
        var thrown = Assert.Throws<DataException>(() => _loader.Take(Key(4), Key(8)));
        Assert.Equal("images-3 is cut off: copy it again.", thrown.Message);
        Assert.Equal([true], Ahead);

        // It was thrown once: what is asked for again is loaded again.
        using var again = _loader.Take(Key(4), null);
        AssertIs(Key(4), again);
    }

    [Fact]
    public void What_goes_wrong_with_a_micro_batch_that_nobody_asks_for_is_forgotten()
    {
        using var scope = NewDisposeScope();
        _account.Before = _ => throw new DataException("images-3 is cut off: copy it again.");
        _loader.Expect(Key(4));
        Assert.True(_account.Await(1, Deadline));
        _account.Before = _ => { };
        using var other = _loader.Take(Key(8), null);
        AssertIs(Key(8), other);
    }

    [Fact]
    public void What_has_no_room_beside_the_micro_batch_before_is_loaded_after_it()
    {
        using var scope = NewDisposeScope();
        _account.Before = _ =>
        {
            if (Thread.CurrentThread.Name == Loader)
            {
                zeros(1L << 48).Dispose();
            }
        };
        _loader.Take(Key(0), Key(4)).Dispose();
        Assert.True(_account.Await(2, Deadline));
        using var batch = _loader.Take(Key(4), null);
        Assert.Equal([false, true, false], Ahead);
        AssertIs(Key(4), batch);
    }

    [Fact]
    public void What_does_not_come_is_waited_for_until_a_deadline_and_not_by_whoever_comes_after()
    {
        using var loading = new ManualResetEventSlim();
        using var answers = new ManualResetEventSlim();
        _account.Before = _ =>
        {
            loading.Set();
            answers.Wait(Deadline);
        };
        using (var loader = new BatchLoader(_task, seed: 5, TimeSpan.FromMilliseconds(50)))
        {
            loader.Expect(Key(4));
            Assert.True(loading.Wait(Deadline, TestContext.Current.CancellationToken));
            var thrown = Assert.Throws<DataException>(() => loader.Take(Key(4), null));
            Assert.StartsWith("The data set has not given the 4 samples from position 4 of epoch 1 within 0 seconds", thrown.Message, StringComparison.Ordinal);
            Assert.Throws<DataException>(loader.Forget);
        }

        answers.Set();
        Assert.True(_account.Await(1, Deadline));
    }

    [Theory]
    [InlineData("another is asked for")]
    [InlineData("it is forgotten")]
    [InlineData("it is forgotten while it is loaded")]
    [InlineData("the loader is disposed of")]
    public void Nothing_that_was_loaded_ahead_is_left_where(string end)
    {
        using var loading = new ManualResetEventSlim();
        using (NewDisposeScope())
        {
            _loader.Take(Key(0), null).Dispose();
        }

        Assert.Equal(0, _account.Left);
        _account.Before = _ => loading.Set();
        _loader.Expect(Key(4));
        Assert.True(loading.Wait(Deadline, TestContext.Current.CancellationToken));
        if (end != "it is forgotten while it is loaded")
        {
            Assert.True(_account.Await(2, Deadline));
        }

        switch (end)
        {
            case "another is asked for":
                using (NewDisposeScope())
                {
                    _loader.Take(Key(8), null).Dispose();
                }

                break;
            case "the loader is disposed of":
                _loader.Dispose();
                break;
            default:
                _loader.Forget();
                break;
        }

        Assert.Contains(true, Ahead);
        Assert.Equal(0, _account.Left);
        Assert.False(_account.WereTwoAtOnce);
    }

    [Fact]
    public void Whatever_is_taken_expected_and_forgotten_a_data_set_is_asked_by_one_at_a_time_and_nothing_is_left()
    {
        using var over = new CancellationTokenSource();
        using var plain = new BatchLoader(Bench.Pattern(), seed: 5);
        var expecting = new Thread(() =>
        {
            var random = new Random(2);
            while (!over.IsCancellationRequested)
            {
                _loader.Expect(Key(random.Next(8)));
                Thread.Yield();
            }
        });
        expecting.Start();
        var choice = new Random(1);
        for (var i = 0; i < 3_000; i++)
        {
            using var scope = NewDisposeScope();
            var (key, next) = (Key(choice.Next(8)), choice.Next(8));
            using var batch = _loader.Take(key, next < 6 ? Key(next) : null);
            AssertIs(key, batch, plain);
            if (choice.Next(10) == 0)
            {
                _loader.Forget();
            }
        }

        over.Cancel();
        expecting.Join();
        _loader.Dispose();
        Assert.False(_account.WereTwoAtOnce);
        Assert.Equal(0, _account.Left);
        Assert.Contains(true, Ahead);
        Assert.Contains(false, Ahead);
    }

    private static BatchKey Key(long first) => new(OperationKind.Train, 1, first, 4);

    private static void AssertIs(BatchKey key, TensorBatch actual)
    {
        using var plain = new BatchLoader(Bench.Pattern(), seed: 5);
        AssertIs(key, actual, plain);
    }

    private static void AssertIs(BatchKey key, TensorBatch actual, BatchLoader plain)
    {
        using var expected = plain.Take(key, null);
        Assert.Equal(expected.Inputs.data<float>().ToArray(), actual.Inputs.data<float>().ToArray());
        Assert.Equal(expected.Targets.data<long>().ToArray(), actual.Targets.data<long>().ToArray());
    }
}
