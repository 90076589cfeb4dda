using DistTrain.TestKit;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>What links hold of the system is given back with them. Alone, because it counts what the whole process holds.</summary>
[Collection(AloneInProcess.Name)]
public sealed class LinkLeakTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public LinkLeakTests() => Directory.CreateDirectory(_folder.At("one"));

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Links_that_are_over_leave_no_mapping_and_no_handle()
    {
        var handles = 0;
        for (var round = 0; round < 12; round++)
        {
            foreach (var transport in new[] { Transports.SharedMemory, Transports.Tcp })
            {
                await using var pair = await LinkedPair.StartAsync((_, s) => s with { Folder = _folder.At("one"), Transports = [transport] });
                await pair.LinkAsync();
                await pair.ReduceAsync(1, 1000);
            }

            handles = round == 3 ? Handles() : handles;
        }

        Assert.DoesNotContain(File.ReadLines("/proc/self/maps"), line => line.Contains(_folder.Path, StringComparison.Ordinal));

        // One handle left behind by every pair would be 16 more. Some are closed a moment after their connection.
        Assert.InRange(Handles(), 0, handles + 8);

        static int Handles() => Directory.GetFiles("/proc/self/fd").Length;
    }
}
