using DistTrain.Core.Tuning;

namespace DistTrain.Core.Tests.Tuning;

/// <summary>What Linux writes of limits, read as it is documented.</summary>
public sealed class MemoryLimitTests
{
    [Fact]
    public void Version_2_is_asked_up_to_the_root() =>
        Assert.Equal(
            ["/sys/fs/cgroup/a.slice/b.scope/memory.max", "/sys/fs/cgroup/a.slice/memory.max", "/sys/fs/cgroup/memory.max"],
            MemoryLimit.Files("0::/a.slice/b.scope\n"));

    [Fact]
    public void Version_1_is_asked_for_its_own_limit_and_that_of_those_above() =>
        Assert.Equal(
            ["/sys/fs/cgroup/memory/run/memory.limit_in_bytes", "/sys/fs/cgroup/memory/run/memory.stat", "/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.stat"],
            MemoryLimit.Files("5:devices:/run\n4:cpu,memory:/run\n0-no-line\n"));

    [Fact]
    public void A_container_that_sees_itself_as_the_root_asks_there() => Assert.Equal(["/sys/fs/cgroup/memory.max"], MemoryLimit.Files("0::/\n"));

    [Theory]
    [InlineData("2147483648\n", 2147483648L)]
    [InlineData("max\n", null)]
    [InlineData("9223372036854771712\n", null)]
    [InlineData("", null)]
    [InlineData("cache 10\nhierarchical_memory_limit 4096\nhierarchical_memsw_limit 9\n", 4096L)]
    [InlineData("cache 10\nhierarchical_memory_limit 9223372036854771712\n", null)]
    [InlineData("cache 10\n", null)]
    public void A_file_holds_a_limit_or_none(string text, long? limit) => Assert.Equal(limit, MemoryLimit.Read(text));

    [Theory]
    [InlineData("MemTotal:       24683512 kB\nMemFree:         1000 kB\nMemAvailable:   22114548 kB\n", 22114548L * 1024)]
    [InlineData("MemTotal:       24683512 kB\n", null)]
    [InlineData("MemAvailable: many\n", null)]
    public void The_machine_says_what_it_has_left(string text, long? available) => Assert.Equal(available, MemoryLimit.Available(text));

    [Fact]
    public void A_limit_above_what_there_is_does_not_count_and_that_is_said()
    {
        Assert.Equal((1_100_000_000, "memory.limit is 20 GB, and there are only 1.1 GB: these count."), MemoryLimit.Within(20_000_000_000, 1_100_000_000));
        Assert.Equal((500_000_000, null), MemoryLimit.Within(500_000_000, 1_100_000_000));
    }

    [Fact]
    public void Workers_share_what_coordinator_and_launcher_leave()
    {
        Assert.Equal(800_000_000, MemoryLimit.Share(2_000_000_000, 2));
        Assert.Equal(0, MemoryLimit.Share(300_000_000, 3));
    }
}
