using CsCheck;
using DistTrain.Core.Sampling;

namespace DistTrain.Core.Tests.Sampling;

public class EpochCursorTests
{
    [Fact]
    public void Every_position_of_an_epoch_is_taken_exactly_once() =>
        Gen.Select(Gen.Long[1, 500], Gen.Long[1, 700]).Always((dataSize, globalBatch) =>
        {
            var cursor = default(EpochCursor);
            for (var epoch = 0; epoch < 3; epoch++)
            {
                var expected = 0L;
                while (cursor.Epoch == epoch)
                {
                    (var taken, cursor) = cursor.Take(dataSize, globalBatch);
                    Assert.Equal(new SampleRange(epoch, expected, Math.Min(globalBatch, dataSize - expected)), taken);
                    expected += taken.Count;
                }

                Assert.Equal(dataSize, expected);
                Assert.Equal(new EpochCursor(epoch + 1, 0), cursor);
            }
        });

    [Fact]
    public void A_global_batch_above_the_data_is_one_step_an_epoch()
    {
        var (taken, next) = new EpochCursor(4, 0).Take(dataSize: 10, globalBatch: long.MaxValue);
        Assert.Equal(new SampleRange(4, 0, 10), taken);
        Assert.Equal(new EpochCursor(5, 0), next);
    }

    [Fact]
    public void The_last_step_of_an_epoch_holds_what_is_left()
    {
        var (taken, next) = new EpochCursor(0, 8).Take(dataSize: 10, globalBatch: 4);
        Assert.Equal(new SampleRange(0, 8, 2), taken);
        Assert.Equal(new EpochCursor(1, 0), next);
    }

    [Fact]
    public void A_cursor_that_does_not_fit_the_data_is_refused()
    {
        Assert.Throws<ArgumentOutOfRangeException>(() => new EpochCursor(0, 10).Take(dataSize: 10, globalBatch: 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => new EpochCursor(0, -1).Take(dataSize: 10, globalBatch: 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => default(EpochCursor).Take(dataSize: 0, globalBatch: 4));
        Assert.Throws<ArgumentOutOfRangeException>(() => default(EpochCursor).Take(dataSize: 10, globalBatch: 0));
    }
}
