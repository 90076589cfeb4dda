using CsCheck;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

public class RunLengthTests
{
    private static readonly Gen<RunLength> Constant = Gen.Select(Gen.Long[1, 300], Gen.Long[1, 400]).Select((size, batch) => new RunLength(size, batch));

    private static readonly Gen<RunLength> Lengths = Gen.Select(Constant, Gen.Select(Gen.Long[1, 900], Gen.Long[1, 400]).Array[0, 4])
        .Select((length, changes) => changes.OrderBy(c => c.Item1).Aggregate(length, (l, c) => l.From(c.Item1, c.Item2)));

    [Fact]
    public void Samples_add_up_step_by_step() => Gen.Select(Lengths, Gen.Int[1, 50]).Always((length, steps) =>
    {
        var samples = 0L;
        for (var step = 1L; step <= steps; step++)
        {
            var left = length.DataSize - (samples % length.DataSize);
            Assert.Equal(Math.Min(left, length.BatchOf(step)), length.SamplesOfStep(step));
            samples += length.SamplesOfStep(step);
            Assert.Equal(samples, length.SamplesOf(step));
            Assert.Equal(step, length.StepsTo(samples));
        }

        Assert.Equal(length.DataSize, length.SamplesOf(length.StepsPerEpoch));
        Assert.Equal(length.LastStepSamples, length.SamplesOfStep(length.StepsPerEpoch));
    });

    [Fact]
    public void A_limit_in_samples_is_reached_by_the_last_step_and_not_before() => Gen.Select(Lengths, Gen.Long[1, 2000]).Always((length, samples) =>
    {
        var steps = length.Steps(new StopOptions { Samples = samples });
        Assert.True(length.SamplesOf(steps) >= samples);
        Assert.True(length.SamplesOf(steps - 1) < samples);
    });

    [Fact]
    public void A_change_is_seen_by_the_first_step_that_begins_behind_it() => Gen.Select(Constant, Gen.Long[0, 900], Gen.Long[1, 400]).Always((length, samples, batch) =>
    {
        var changed = length.From(samples, batch);
        for (var (step, used) = (1L, 0L); step <= 40; used += changed.SamplesOfStep(step), step++)
        {
            Assert.Equal(used >= samples ? batch : length.GlobalBatch, changed.BatchOf(step));
        }
    });

    [Fact]
    public void Whatever_the_batch_an_epoch_ends_with_a_step_and_holds_the_data_once() => Gen.Select(Lengths, Gen.Long[1, 9]).Always((length, epochs) =>
        Assert.Equal(epochs * length.DataSize, length.SamplesOf(length.Steps(new StopOptions { Epochs = epochs }))));

    [Fact]
    public void The_first_limit_counts()
    {
        var length = new RunLength(100, 30);
        Assert.Equal(8, length.Steps(new StopOptions { Epochs = 2 }));
        Assert.Equal(5, length.Steps(new StopOptions { Epochs = 2, Steps = 5 }));
        Assert.Equal(3, length.Steps(new StopOptions { Epochs = 2, Steps = 5, Samples = 61 }));
        Assert.Equal(4, length.Steps(new StopOptions { Samples = 100 }));
        Assert.Equal(5, length.Steps(new StopOptions { Samples = 101 }));
    }

    [Fact]
    public void The_largest_run_does_not_overflow()
    {
        var length = new RunLength(1L << 40, 1);
        Assert.Equal(long.MaxValue, length.Steps(new StopOptions { Epochs = 1L << 40 }));
        Assert.Equal(long.MaxValue, length.SamplesOf(long.MaxValue));
    }
}
