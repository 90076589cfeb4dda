using DistTrain.Benching;

namespace DistTrain.Cli.Tests.Benching;

/// <summary>How the table of <c>bench allreduce</c> is made of what processes answered.</summary>
public sealed class AllReduceTests
{
    [Fact]
    public void The_slowest_counts_and_what_all_cost_is_added() =>
        Assert.Equal(new BenchRun(12.5, 0.75, 3000), BenchRun.Of(["10 0.25 1000", "12.5 0.5 2000"]));

    [Fact]
    public void A_process_that_only_counts_time_costs_nothing_else() => Assert.Equal(new BenchRun(7, 0, 0), BenchRun.Of(["7", "6"]));

    [Theory]
    [InlineData(2, 1.0)]
    [InlineData(4, 1.5)]
    public void Bandwidths_are_those_of_nccl_tests(int workers, double factor)
    {
        // Two operations of 100 MB in 100 ms: 2 GB/s.
        var line = AllReduceLine.Of("tcp", workers, 100_000_000, times: 2, [new BenchRun(100, 0.3, 8000), new BenchRun(80, 0.3, 8000), new BenchRun(120, 0.3, 8000)]);
        Assert.Equal(2.0, line.AlgorithmBandwidth, 6);
        Assert.Equal(2.0 * factor, line.BusBandwidth, 6);
        Assert.Equal((50, 40), (line.Milliseconds.Value, line.Fastest));
        Assert.Equal(0.15 / (0.1 * factor), line.CpuSecondsPerGb, 6);
        Assert.Equal(4000.0 / workers, line.Allocated);
    }

    [Theory]
    [InlineData(4_000, 20, 200)]
    [InlineData(1_000_000, 20, 25)]
    [InlineData(25_000_000, 20, 1)]
    [InlineData(400_000_000, 5, 1)]
    public void Small_vectors_are_reduced_many_at_a_time_and_large_ones_warmed_up_less(long bytes, int warmUp, int times) =>
        Assert.Equal((warmUp, times), (AllReducePlan.WarmUp(bytes), AllReducePlan.Times(bytes)));

    [Fact]
    public void The_report_has_a_line_for_each_size_and_transport_and_says_what_is_not_to_be_had()
    {
        var report = new AllReduceReport(
            2, 1, [AllReduceLine.Of("tcp", 2, 25_000_000, 1, [new BenchRun(20, 0.05, 90_000)])], [("shared-memory", "the other worker is on another host")]);
        var output = new StringWriter();
        report.Write(output);
        var lines = output.ToString().Split(Environment.NewLine);
        Assert.Equal(["size", "transport", "time, ms", "fastest, ms", "algbw, GB/s", "busbw, GB/s", "CPU, s/GB", "allocated, kB"], Cells(lines[0]));
        Assert.Equal(["25 MB", "tcp", "20.000", "20.000", "1.25", "1.25", "2.00", "45.0"], Cells(lines[1]));
        Assert.Contains("shared-memory is not to be had here: the other worker is on another host.", lines);

        var json = report.Json();
        Assert.Equal(25_000_000, (long)json["results"]![0]!["bytes"]!);
        Assert.Equal(1.25, (double)json["results"]![0]!["busbw"]!);
        Assert.Equal("shared-memory", (string)json["missing"]![0]!["transport"]!);
    }

    private static string[] Cells(string line) => line.Split("  ", StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries);
}
