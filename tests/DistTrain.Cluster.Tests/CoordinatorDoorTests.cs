using System.Net;
using System.Net.Sockets;
using DistTrain.Core.Membership;
using DistTrain.Protocol;
using DistTrain.TestKit;
using DistTrain.Worker;

namespace DistTrain.Cluster.Tests;

/// <summary>How a worker gets to a coordinator that moves.</summary>
public sealed class CoordinatorDoorTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>The other end is gone without a word, as with its node: the connection stands, and nothing comes. On it nobody would ever be reached again.</summary>
    [Fact]
    public async Task A_connection_on_which_nothing_comes_is_given_up_for_a_new_one()
    {
        using var gone = new TcpListener(IPAddress.Loopback, 0);
        gone.Start();
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), LocalCluster.Options("workers=1"));
        await using var relay = new Relay(new Uri($"http://127.0.0.1:{((IPEndPoint)gone.LocalEndpoint).Port}"));
        var said = new List<string>();
        var hello = Wire.ToWire(new WorkerHello(RunMachine.Protocol, ProgramIdentity.Version, -1, "elsewhere", 1, "http://127.0.0.1:1", "", ""));
        var door = new CoordinatorDoor(relay.Address, () => hello, isPatient: true, TimeProvider.System, sentence =>
        {
            said.Add(sentence);
            relay.Lead(coordinator.Address);
        });

        var timeouts = new Timeouts(TimeSpan.FromMilliseconds(100));
        await using (var session = await door.JoinAsync(default, default, timeouts, holdsState: false, TestContext.Current.CancellationToken).WaitAsync(Soon))
        {
            Assert.Equal("test", session.Welcome.RunName);
        }

        Assert.Equal([$"The coordinator at {relay.Address} does not answer yet (no answer in 1s); trying until it does."], said);
        coordinator.Stop();
    }
}
