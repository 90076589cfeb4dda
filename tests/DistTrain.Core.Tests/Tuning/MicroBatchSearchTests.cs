using CsCheck;
using DistTrain.Core.Options;
using DistTrain.Core.Tuning;

namespace DistTrain.Core.Tests.Tuning;

/// <summary>What is measured fits, and what is chosen is small, fast and fits.</summary>
public sealed class MicroBatchSearchTests
{
    private const long Limit = 1_000_000;

    /// <summary>A host: what a run needs, what a sample needs, what a pass takes and what a sample takes, in microseconds, and the largest size.</summary>
    private static readonly Gen<(int Needs, int PerSample, int PerPass, int PerSampleTime, int Largest)> Host =
        Gen.Select(Gen.Int[0, 950_000], Gen.Int[1, 100_000], Gen.Int[0, 10_000], Gen.Int[1, 1000], Gen.Int[1, 5000]);

    /// <summary>One whose largest size fits as often as not.</summary>
    private static readonly Gen<(int Needs, int PerSample, int Largest)> SmallHost = Gen.Select(Gen.Int[0, 950_000], Gen.Int[1, 1000], Gen.Int[1, 1000]);

    [Theory]
    [InlineData(1, 1437, 1437)]
    [InlineData(4, 5000, 500)]
    [InlineData(1, 1437, 718, "batch.noiseScale=true")]
    [InlineData(1, 5000, 1000, "batch.noiseScale=true")]
    [InlineData(4, 5000, 500, "batch.noiseScale=true")]
    [InlineData(1, 5000, 32, "batch.schedule.name=noise", "batch.schedule.first=64", "batch.schedule.most=4000", "batch.schedule.everySteps=10")]
    [InlineData(2, 5000, 1, "batch.schedule.name=noise", "batch.schedule.first=2", "batch.schedule.most=4000", "batch.schedule.everySteps=10")]
    [InlineData(1, 5000, 50, "schedule.scaling=adascale", "schedule.referenceBatch=100", "batch.schedule.name=stages", "batch.schedule.stages.1 epoch=100")]
    public void The_largest_size_leaves_every_worker_one_and_every_step_two_where_noise_is_measured(int workers, long dataSize, int largest, params string[] keys)
    {
        var table = new Dictionary<string, string>
        {
            ["task"] = "t",
            ["model.name"] = "m",
            ["data.name"] = "d",
            ["stop.epochs"] = "1",
            ["batch.global"] = "2000",
            ["batch.micro"] = "auto",
            ["workers"] = $"{workers}",
        };
        keys.Select(k => k.Split('=')).ToList().ForEach(k => table[k[0]] = k[1]);
        var (options, problems) = OptionsReader.ReadRun(table);
        Assert.Empty(problems);
        Assert.Equal(largest, MicroBatchSearch.LargestOf(options, dataSize));
    }

    [Fact]
    public void What_is_measured_fits_and_grows_by_two() => Host.Always(host =>
    {
        var (costs, _) = Find(host);
        Assert.All(costs, c => Assert.True(c.Peak <= Limit * MicroBatchSearch.UsableShare || c.Size == 1));
        Assert.All(costs.SkipLast(1), c => Assert.True(host.Needs + c.Activations <= Limit * MicroBatchSearch.UsableShare));
        Assert.Equal(costs.Select((_, i) => (int)Math.Min(1L << i, host.Largest)), costs.Select(c => c.Size));
    });

    [Fact]
    public void The_choice_is_the_smallest_that_is_nearly_as_fast_as_the_best_that_fits() => Host.Always(host =>
    {
        var (costs, choice) = Find(host);
        var fitting = costs.Where(c => host.Needs + c.Activations <= Limit * MicroBatchSearch.UsableShare).ToList();
        if (fitting.Count == 0)
        {
            Assert.Equal((0, 0), (choice.Size, choice.Most));
            Assert.Contains("one sample", choice.Sentence, StringComparison.Ordinal);
            return;
        }

        var best = fitting.Max(c => c.SamplesPerSecond);
        Assert.Equal(fitting[^1].Size, choice.Most);
        Assert.Contains(fitting, c => c.Size == choice.Size && c.SamplesPerSecond >= MicroBatchSearch.Knee * best);
        Assert.DoesNotContain(fitting, c => c.Size < choice.Size && c.SamplesPerSecond >= MicroBatchSearch.Knee * best);
    }, samples: 1000);

    [Fact]
    public void More_memory_never_makes_the_most_that_fits_smaller() => Gen.Select(Host, Gen.Int[0, 1_000_000]).Always((host, more) =>
        Assert.True(Find(host).Choice.Most <= Find(host, Limit + more).Choice.Most));

    [Fact]
    public void Where_larger_ones_are_not_faster_they_are_not_tried()
    {
        var costs = Find((0, 1, PerPass: 0, 100, 4096)).Costs;
        Assert.Equal([1, 2, 4, 8], costs.Select(c => c.Size));
    }

    [Fact]
    public void Two_sizes_that_seem_slower_do_not_end_the_search()
    {
        var search = new MicroBatchSearch(null, _ => 0, 64, TimeSpan.FromMinutes(1));
        Assert.Equal(16, search.Next([Cost(1, 1, 0.1), Cost(2, 2, 0.1), Cost(4, 4, 0.4), Cost(8, 8, 0.8)], TimeSpan.Zero));
        Assert.Null(search.Next([Cost(1, 1, 0.1), Cost(2, 2, 0.1), Cost(4, 4, 0.4), Cost(8, 8, 0.8), Cost(16, 16, 1.6)], TimeSpan.Zero));
    }

    [Fact]
    public void Why_larger_ones_were_not_tried_is_said()
    {
        var search = new MicroBatchSearch(null, _ => 0, 64, TimeSpan.FromMinutes(1));
        Assert.EndsWith(
            "; larger ones were not tried after 16, as the last 3 were not faster than a smaller one.",
            search.Choose([Cost(1, 1, 0.1), Cost(2, 2, 0.1), Cost(4, 4, 0.4), Cost(8, 8, 0.8), Cost(16, 16, 1.6)]).Sentence, StringComparison.Ordinal);
        Assert.EndsWith(
            "; larger ones were not tried after 2, as there was no time left to measure.", search.Choose([Cost(1, 1, 20), Cost(2, 2, 20)]).Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void What_the_first_sample_needs_once_does_not_keep_larger_sizes_from_being_tried()
    {
        var search = new MicroBatchSearch(Limit, _ => 700_000, 64, TimeSpan.FromMinutes(1));
        Assert.Equal(2, search.Next([Cost(1, 150_000, 0.1)], TimeSpan.Zero));
        var choice = search.Choose([Cost(1, 150_000, 0.1), Cost(2, 160_000, 0.1), Cost(4, 180_000, 0.1), Cost(8, 220_000, 0.1)]);
        Assert.Equal((4, 4), (choice.Size, choice.Most));
        Assert.Contains("8 would not fit 900 kB", choice.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public void Measuring_ends_with_its_time()
    {
        var search = new MicroBatchSearch(null, _ => 0, 1 << 20, TimeSpan.FromSeconds(10));
        Assert.Equal(4, search.Next([Cost(1, 1, 0.1), Cost(2, 2, 0.1)], TimeSpan.FromSeconds(4)));
        Assert.Null(search.Next([Cost(1, 1, 0.1), Cost(2, 2, 0.1)], TimeSpan.FromSeconds(6)));
    }

    [Fact]
    public void Whether_the_size_in_force_fits_is_asked_to_the_end_however_slow_the_sizes_are() => SmallHost.Always(host =>
    {
        var search = new MicroBatchSearch(Limit, _ => host.Needs, host.Largest, Budget: null);
        var costs = new List<MicroBatchCost>();
        while (search.Next(costs, TimeSpan.FromDays(costs.Count)) is { } size)
        {
            costs.Add(Cost(size, size * (long)host.PerSample, size * size));
        }

        // A pass needs what the process held before it and its activations, the run more.
        var (usable, activations) = (Limit * MicroBatchSearch.UsableShare, (long)host.Largest * host.PerSample);
        var fits = host.Needs + activations <= usable && (7 + activations <= usable || host.Largest == 1);
        Assert.Equal(fits, search.Choose(costs).Most == host.Largest);
    });

    [Fact]
    public void A_shortage_that_shows_by_itself_leaves_what_was_measured_before()
    {
        var search = new MicroBatchSearch(null, _ => 0, 1 << 20, TimeSpan.FromMinutes(1));
        var choice = search.Choose([Cost(1, 1, 1), Cost(2, 2, 1), Cost(4, 4, 1)], tooLarge: 8);
        Assert.Equal((4, 4), (choice.Size, choice.Most));
        Assert.Contains("memory ran out at 8", choice.Sentence, StringComparison.Ordinal);
        Assert.Equal("Memory ran out at a micro-batch of one sample.", search.Choose([], tooLarge: 1).Sentence);
    }

    [Fact]
    public void Not_even_one_sample_is_said_with_what_it_needs_and_what_there_is()
    {
        var search = new MicroBatchSearch(1_000_000_000, _ => 950_000_000, 64, TimeSpan.FromMinutes(1));
        Assert.Null(search.Next([], TimeSpan.Zero));
        Assert.Equal("A micro-batch of one sample needs 950 MB, and 900 MB may be used: the limit is 1 GB.", search.Choose([]).Sentence);
    }

    private static (List<MicroBatchCost> Costs, MicroBatchChoice Choice) Find(
        (int Needs, int PerSample, int PerPass, int PerSampleTime, int Largest) host, long limit = Limit)
    {
        var search = new MicroBatchSearch(limit, _ => host.Needs, host.Largest, TimeSpan.FromDays(1));
        var costs = new List<MicroBatchCost>();
        while (search.Next(costs, TimeSpan.Zero) is { } size)
        {
            costs.Add(Cost(size, size * (long)host.PerSample, (host.PerPass + (size * (double)host.PerSampleTime)) / 1e6));
        }

        return (costs, search.Choose(costs));
    }

    private static MicroBatchCost Cost(int size, long activations, double seconds) => new(size, TimeSpan.FromSeconds(seconds), 7, 7 + activations);
}
