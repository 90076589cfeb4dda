using System.Globalization;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Native;

/// <summary>What one micro-batch frees, the next one takes again.</summary>
[Collection(AloneInProcess.Name)]
public sealed class NativeHeapTests
{
    [Fact]
    public void Memory_that_a_micro_batch_frees_is_there_for_the_next_one()
    {
        if (!OperatingSystem.IsLinux() || NativeHeap.IsSetByUser(Environment.GetEnvironmentVariable))
        {
            return;
        }

        // As a worker computes: on a thread of its own, whose memory comes from heaps of 64 MB. 160 MB are 40,960 pages.
        var faults = 0L;
        var thread = new Thread(() =>
        {
            for (var warm = 0; warm < 5; warm++)
            {
                Pass();
            }

            var before = Faults();
            Pass();
            Pass();
            faults = Faults() - before;
        });
        thread.Start();
        thread.Join();

        Assert.InRange(faults, 0, 4096);

        static void Pass()
        {
            using var scope = NewDisposeScope();
            for (var i = 0; i < 20; i++)
            {
                ones(2 << 20);
            }
        }
    }

    [Theory]
    [InlineData("MALLOC_TRIM_THRESHOLD_", "131072", true)]
    [InlineData("MALLOC_TOP_PAD_", "0", true)]
    [InlineData("MALLOC_MMAP_THRESHOLD_", "131072", true)]
    [InlineData("MALLOC_MMAP_THRESHOLD_", "", false)]
    [InlineData("GLIBC_TUNABLES", "glibc.malloc.trim_threshold=131072", true)]
    [InlineData("GLIBC_TUNABLES", "glibc.cpu.x86_ibt=off", false)]
    [InlineData("MALLOC_ARENA_MAX", "2", false)]
    public void What_a_user_has_set_stands(string name, string value, bool isSet) => Assert.Equal(isSet, NativeHeap.IsSetByUser(n => n == name ? value : null));

    /// <summary>Page faults of this thread so far: the tenth number of <c>stat</c> (proc_pid_stat(5)), counted behind the name in brackets.</summary>
    private static long Faults()
    {
        var text = File.ReadAllText("/proc/thread-self/stat");
        return long.Parse(text[(text.LastIndexOf(')') + 2)..].Split(' ')[7], CultureInfo.InvariantCulture);
    }
}
