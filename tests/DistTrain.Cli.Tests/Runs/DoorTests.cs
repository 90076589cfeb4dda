using System.Buffers.Binary;
using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using DistTrain.Core.Membership;
using DistTrain.Protocol;
using DistTrain.Protocol.Hosting;
using DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Coordinator and workers started by hand: who is let in, who is refused, and in which words.</summary>
public sealed class DoorTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Whoever_does_not_fit_is_refused_and_the_run_goes_on_without_it()
    {
        var data = Images("data", salt: 0);
        using var coordinator = Command.Start(
            "coordinator", Configuration(data), "--listen", "127.0.0.1:0", "--out", _folder["run"], "--json", "--workers", "2");
        var address = (string)JsonNode.Parse(await coordinator.LineAsync("\"listening\""))!["listening"]!;
        using var first = Command.Start("worker", "--coordinator", address, "--listen", "127.0.0.2:0");
        await coordinator.LineAsync("\"join\"");

        // Another configuration: refused at the door.
        var other = await Command.RunAsync("worker", "--coordinator", address, Configuration(data), "--set", "batch.micro=5");
        Assert.Equal(1, other.Code);
        Assert.Equal(
            $"error: The coordinator at {address}/ refused this worker. It was given another configuration than this run's: start it without one, or with "
            + "the run's config.yaml.\n",
            other.Error);

        // Another version of the program.
        Assert.Equal(
            $"It is version 0.0.9, this coordinator is {ProgramIdentity.Version}: install the same version on both, another one may compute other bits.",
            await AskAsync(address, version: "0.0.9"));

        // Other data: refused once it has read them.
        var stranger = await Command.RunAsync("worker", "--coordinator", address, "--data", Images("other", salt: 1));
        Assert.Equal(1, stranger.Code);
        Assert.Contains("error: The coordinator refused this worker. Its data differ from the run's (60 + 12 samples, fingerprint ", stranger.Error, StringComparison.Ordinal);
        Assert.EndsWith(": give it the same files.\n", stranger.Error, StringComparison.Ordinal);

        // The same data elsewhere, the same configuration from the run's folder: welcome.
        using var second = Command.Start(
            "worker", "--coordinator", address, _folder["run/config.yaml"], "--data", Images("copy", salt: 0), "--listen", "0.0.0.0:0", "--advertise", "127.0.0.3");
        Assert.Equal(0, (await second.EndAsync()).Code);
        Assert.Equal(0, (await first.EndAsync()).Code);
        var ended = await coordinator.EndAsync();
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.All(ended.Out.TrimEnd().Split('\n'), line => JsonNode.Parse(line));
    }

    [Fact]
    public async Task A_worker_with_nobody_to_work_for_says_so()
    {
        var ended = await Command.RunAsync("worker", "--coordinator", $"http://127.0.0.1:{FreePort()}", "--wait", "2s");
        Assert.Equal(1, ended.Code);
        Assert.Contains(" was not reached within 2s (Connection refused", ended.Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_whose_data_are_missing_ends_the_run_with_its_reason()
    {
        var ended = await Command.RunAsync("train", Configuration(_folder["nowhere"]), "--out", _folder["run"]);
        Assert.Equal(1, ended.Code);
        Assert.Matches($"^error: Worker [01] cannot go on: {_folder["nowhere"]} does not exist: put the four files .* there, or change data.path.\n$", ended.Error);
        Assert.Empty(ended.Left);
    }

    [Fact]
    public async Task A_port_that_is_taken_is_one_sentence()
    {
        using var taken = new TcpListener(IPAddress.Loopback, 0);
        taken.Start();
        var port = ((IPEndPoint)taken.LocalEndpoint).Port;
        var ended = await Command.RunAsync("train", "--port", $"{port}", "--out", _folder["run"]);
        Assert.Equal(
            (1, $"error: Coordinator ended before it listened: 127.0.0.1:{port} is in use by another program: choose another port.\n"),
            (ended.Code, ended.Error));
        Assert.Empty(ended.Left);

        // Nothing stands in the way of the same command with another port.
        Assert.False(Path.Exists(_folder["run"]));
        Assert.DoesNotContain("folder", ended.Out, StringComparison.Ordinal);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    /// <summary>Knocks as a worker of another version would.</summary>
    private static async Task<string> AskAsync(string address, string version)
    {
        using var channel = GrpcDialer.Open(new Uri(address), TimeSpan.FromSeconds(5));
        using var call = new Protocol.V1.Coordinator.CoordinatorClient(channel).Attend(cancellationToken: TestContext.Current.CancellationToken);
        var hello = new WorkerHello(RunMachine.Protocol, version, -1, "elsewhere", 1, "http://127.0.0.1:1", "", "");
        await call.RequestStream.WriteAsync(new WorkerMessage { Hello = Wire.ToWire(hello) }, TestContext.Current.CancellationToken);
        Assert.True(await call.ResponseStream.MoveNext(TestContext.Current.CancellationToken));
        return call.ResponseStream.Current.Refusal.Sentence;
    }

    private string Configuration(string data) => _folder.File("mine.yaml", $$"""
        task: image-classification
        model: { name: mlp, hidden: 8 }
        data: { name: idx, path: {{data}} }
        batch: { global: 20, micro: 6 }
        stop: { steps: 4 }
        """);

    /// <summary>A data set of 60 and 12 images of 4 x 4 pixels, whose files are those of MNIST.</summary>
    private string Images(string name, int salt)
    {
        foreach (var (file, count) in new[] { ("train", 60), ("t10k", 12) })
        {
            Write($"{name}/{file}-images-idx3-ubyte", [0x803, count, 4, 4], count * 16);
            Write($"{name}/{file}-labels-idx1-ubyte", [0x801, count], count, classes: 3);
        }

        return _folder[name];

        void Write(string path, int[] header, int length, int classes = 251)
        {
            var bytes = new byte[(4 * header.Length) + length];
            for (var i = 0; i < header.Length; i++)
            {
                BinaryPrimitives.WriteInt32BigEndian(bytes.AsSpan(4 * i), header[i]);
            }

            for (var i = 0; i < length; i++)
            {
                bytes[(4 * header.Length) + i] = (byte)((i + salt) % classes);
            }

            Directory.CreateDirectory(Path.GetDirectoryName(_folder[path])!);
            File.WriteAllBytes(_folder[path], bytes);
        }
    }
}
