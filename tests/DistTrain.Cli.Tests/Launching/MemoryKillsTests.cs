using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

public sealed class MemoryKillsTests
{
    [Fact]
    public void Version_2_tells_it_in_the_events_of_the_own_group() =>
        Assert.Equal(["/sys/fs/cgroup/user.slice/run-7.scope/memory.events"], MemoryKills.Files("0::/user.slice/run-7.scope\n"));

    [Fact]
    public void Version_1_tells_it_under_the_controller_that_counts_memory() =>
        Assert.Equal(
            ["/sys/fs/cgroup/memory/docker/1a/memory.oom_control", "/sys/fs/cgroup/memory/memory.oom_control", "/sys/fs/cgroup/memory.events"],
            MemoryKills.Files("5:cpu,cpuacct:/docker/1a\n4:memory:/docker/1a\n0::/\n"));

    [Theory]
    [InlineData("low 0\nhigh 3\nmax 12\noom 2\noom_kill 1\noom_group_kill 9\n", 1)]
    [InlineData("oom_kill_disable 0\nunder_oom 0\noom_kill 4\n", 4)]
    [InlineData("oom_kill_disable 0\nunder_oom 0\n", 0)]
    [InlineData("", 0)]
    public void A_file_tells_how_often(string text, long count) => Assert.Equal(count, MemoryKills.Read(text));
}
