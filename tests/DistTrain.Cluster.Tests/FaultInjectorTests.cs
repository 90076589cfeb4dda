using DistTrain.Core.Faults;
using DistTrain.Protocol.Faults;

namespace DistTrain.Cluster.Tests;

/// <summary>What a process does to itself, when, and what it says before.</summary>
public sealed class FaultInjectorTests
{
    private readonly List<string> _happened = [];

    [Fact]
    public void A_fault_is_announced_first_and_comes_to_pass_once()
    {
        var injector = Of(new Fault { Id = 3, Kind = FaultKind.Kill, Step = 2, Block = 1 });
        Reach(injector, step: 1, blocks: 1);
        Reach(injector, step: 2, blocks: 0);
        Assert.Empty(_happened);
        Reach(injector, step: 2, blocks: 1);
        Reach(injector, step: 2, blocks: 2);
        Assert.Equal(["fault 3 in step 2", $"signal {ProcessSignal.Kill}"], _happened);
    }

    [Fact]
    public void Faults_come_to_pass_in_their_order_one_at_a_point()
    {
        var injector = Of(
            new Fault { Id = 1, Kind = FaultKind.Pause, Step = 1, Block = 2 },
            new Fault { Id = 2, Kind = FaultKind.Leave, Step = 1 });
        Reach(injector, step: 1, blocks: 0);
        Assert.Empty(_happened);
        Reach(injector, step: 1, blocks: 2);
        Assert.Equal(["fault 1 in step 1", $"signal {ProcessSignal.Stop}"], _happened);
        Reach(injector, step: 1, blocks: 3);
        Assert.Equal(["fault 2 in step 1", $"signal {ProcessSignal.Terminate}"], _happened.Skip(2));
    }

    [Fact]
    public void A_fault_that_waits_for_more_workers_holds_up_no_other()
    {
        var injector = Of(
            new Fault { Id = 1, Kind = FaultKind.Kill, Step = 1, Members = 3 },
            new Fault { Id = 2, Kind = FaultKind.Pause, Step = 1, Members = 2 });
        Reach(injector, step: 1, blocks: 0, members: 2);
        Reach(injector, step: 1, blocks: 0, members: 3);
        Assert.Equal(["fault 2 in step 1", $"signal {ProcessSignal.Stop}", "fault 1 in step 1", $"signal {ProcessSignal.Kill}"], _happened);
    }

    [Fact]
    public void A_link_is_cut_once_its_other_end_is_there()
    {
        var injector = Of(new Fault { Id = 1, Kind = FaultKind.CutLink, Step = 1, Peer = 5 });
        var cut = new List<int>();
        injector.Reach(Point(1), _ => false);
        injector.Reach(Point(2), peer =>
        {
            cut.Add(peer);
            return true;
        });
        Assert.Equal(["fault 1 in step 2"], _happened);
        Assert.Equal([5], cut);
    }

    [Fact]
    public void A_disk_is_full_for_as_many_steps_as_the_fault_says()
    {
        var injector = Of(new Fault { Id = 1, Kind = FaultKind.FullDisk, Step = 3, Steps = 2 });
        var full = new List<bool>();
        for (var step = 1; step <= 6; step++)
        {
            injector.Reach(Point(step));
            full.Add(injector.IsDiskFull);
        }

        Assert.Equal([false, false, true, true, false, false], full);
    }

    [Fact]
    public void What_a_launcher_writes_a_process_reads()
    {
        var fault = new Fault { Id = 4, Kind = FaultKind.CutLink, Step = 9, Worker = 1, Peer = 2, Block = 3, For = TimeSpan.FromSeconds(1.5), Steps = 2, Members = 3 };
        Assert.Contains("\"Id\":4", FaultInjector.Write([fault]), StringComparison.Ordinal);
        Assert.NotNull(FaultInjector.OfVariable(FaultInjector.Write([fault]), TimeProvider.System));
        Assert.Null(FaultInjector.OfVariable("", TimeProvider.System));
        Assert.Equal(
            fault, System.Text.Json.JsonSerializer.Deserialize<List<Fault>>(FaultInjector.Write([fault]))!.Single());

        var notice = new FaultNotice(4, 9, new DateTimeOffset(2026, 1, 2, 3, 4, 5, TimeSpan.Zero));
        Assert.Equal(notice, FaultNotice.Read(notice.Write()));
        Assert.Null(FaultNotice.Read("{\"fault\":"));
        Assert.Null(FaultNotice.Read("{\"fault\":\"x\"}"));
        Assert.Null(FaultNotice.Read("info: Member"));
    }

    private FaultInjector Of(params Fault[] faults) => new(
        faults, TimeProvider.System,
        line => _happened.Add(FaultNotice.Read(line) is { } notice ? $"fault {notice.Fault} in step {notice.Step}" : line),
        signal => _happened.Add($"signal {signal}"));

    private static FaultPoint Point(long step) => new(step, Members: 2, Blocks: 0, IsLast: false);

    private static void Reach(FaultInjector injector, long step, int blocks, int members = 2) =>
        injector.Reach(new FaultPoint(step, members, blocks, IsLast: false));
}
