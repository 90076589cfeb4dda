using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Cluster.Tests;

/// <summary>A coordinator that starts over a folder of checkpoints uses the good ones and says of each of the others what is wrong.</summary>
public sealed class CheckpointScanTests : IDisposable
{
    private static readonly byte[] Model = [.. Enumerable.Range(0, 700).SelectMany(i => BitConverter.GetBytes(i / 3f))];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_another_process_published_is_as_good_as_what_this_one_did()
    {
        var first = new CheckpointStore(_folder.Path, keep: 3);
        var published = new List<PublishedCheckpoint>();
        foreach (var step in new long[] { 0, 10, 20 })
        {
            published.Add(await ReceiveAsync(first, step));
        }

        var scan = CheckpointStore.Open(_folder.Path, keep: 3);
        Assert.Empty(scan.Refused);
        Assert.Equal([20L, 10, 0], scan.Good.Select(c => c.Header.Step));
        Assert.Equal(published[2].Header, scan.Good[0].Header);
        Assert.Equal(published[2].Manifest.Layout.Slots.Select(s => s.Kind), scan.Good[0].Manifest.Layout.Slots.Select(s => s.Kind));
        Assert.Equal((published[2].Folder, published[2].ModelSha256, published[2].Parameters), (scan.Good[0].Folder, scan.Good[0].ModelSha256, scan.Good[0].Parameters));
        Assert.Equal("extra", scan.Good[0].Manifest.Fields.GetProperty("beside").GetString());
        Assert.Equal(20, scan.Store.Newest!.Header.Step);

        var (before, after) = (new Collected(), new Collected());
        await first.SendAsync(10, before, CancellationToken.None);
        await scan.Store.SendAsync(10, after, CancellationToken.None);
        Assert.Equal(before.Chunks, after.Chunks);

        await ReceiveAsync(scan.Store, 30);
        Assert.Equal(["step-00000010", "step-00000020", "step-00000030"], Names());
    }

    [Fact]
    public async Task What_was_begun_and_not_finished_is_gone_and_what_was_moved_aside_is_back()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        var moved = await ReceiveAsync(store, 10);
        var stays = await ReceiveAsync(store, 20);
        Directory.Move(moved.Folder, moved.Folder + ".old");
        Directory.CreateDirectory(stays.Folder + ".old");
        File.WriteAllText(Path.Combine(Directory.CreateDirectory(stays.Folder + ".7.tmp").FullName, "model.safetensors"), "half");
        Directory.CreateDirectory(Path.Combine(_folder.Path, "mine.tmp"));

        var scan = CheckpointStore.Open(_folder.Path, keep: 3);
        Assert.Equal([20L, 10], scan.Good.Select(c => c.Header.Step));
        Assert.Equal(["mine.tmp", "step-00000010", "step-00000020"], Names());
    }

    [Theory]
    [InlineData("no model", "it has no model.safetensors")]
    [InlineData("no optimizer", "it has no optimizer.safetensors")]
    [InlineData("no manifest", "it has no manifest.json")]
    [InlineData("a short file", "model.safetensors is cut short: it has 3,")]
    [InlineData("a long file", "model.safetensors is too long")]
    [InlineData("a flipped bit", "the SHA-256 of optimizer.safetensors is not the one in its manifest.json")]
    [InlineData("a flipped bit in the head", "model.safetensors has tensors of other names or shapes than its manifest.json, or a damaged head")]
    [InlineData("no JSON", "its manifest.json is unreadable")]
    [InlineData("half a manifest", "its manifest.json is unreadable")]
    [InlineData("a list", "its manifest.json is unreadable")]
    [InlineData("no slots", "its manifest.json is unreadable")]
    [InlineData("a step of another", "its manifest.json is of step 21")]
    [InlineData("an older format", "it is of format 1, this program goes on from format 2")]
    [InlineData("a newer format", "it is of format 3, this program goes on from format 2")]
    [InlineData("another shape", "the slots in its manifest.json have another fingerprint than it says")]
    [InlineData("a huge shape", "the shape of 'w' is negative, or larger than any memory")]
    [InlineData("a foreign kind", "'w' of kind 9 is no tensor")]
    [InlineData("another file", "its manifest.json does not list the files that its vectors lie in")]
    [InlineData("a file elsewhere", "its manifest.json does not list the files that its vectors lie in")]
    [InlineData("a length of its own", "its manifest.json gives model.safetensors 5 bytes, tensors of these shapes take 3,")]
    [InlineData("a sum of its own", "the SHA-256 of model.safetensors is not the one in its manifest.json")]
    public async Task A_bad_one_is_refused_with_the_reason_and_left_as_it_is(string what, string why)
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        await ReceiveAsync(store, 10);
        var bad = (await ReceiveAsync(store, 20)).Folder;
        Damage(bad, what);
        var before = Directory.GetFiles(bad);

        var scan = CheckpointStore.Open(_folder.Path, keep: 3);
        Assert.Equal([10L], scan.Good.Select(c => c.Header.Step));
        Assert.StartsWith($"The checkpoint {bad} is refused: {why}", Assert.Single(scan.Refused));
        Assert.EndsWith(". Use another one, and delete this folder or put a good copy in its place.", scan.Refused[0]);
        Assert.Equal(10, scan.Store.Newest!.Header.Step);
        Assert.Equal(before, Directory.GetFiles(bad));
        Assert.Equal(StatusCode.NotFound, (await Assert.ThrowsAsync<RpcException>(
            () => scan.Store.SendAsync(20, new Collected(), CancellationToken.None))).StatusCode);

        // The run comes by this step again.
        await ReceiveAsync(scan.Store, 20);
        Assert.Equal([20L, 10], CheckpointStore.Open(_folder.Path, keep: 3).Good.Select(c => c.Header.Step));
        Assert.Equal(["step-00000010", "step-00000020"], Names());
    }

    [Fact]
    public void Where_there_is_none_there_is_none()
    {
        Assert.Empty(CheckpointStore.Open(Path.Combine(_folder.Path, "not-there"), keep: 3).Good);
        Directory.CreateDirectory(Path.Combine(_folder.Path, "step-5"));
        var scan = CheckpointStore.Open(_folder.Path, keep: 3);
        Assert.Null(scan.Store.Newest);
        Assert.Empty(scan.Refused);
    }

    private static void Damage(string folder, string what)
    {
        var (model, optimizer, manifest) = (Path.Combine(folder, "model.safetensors"), Path.Combine(folder, "optimizer.safetensors"), Path.Combine(folder, "manifest.json"));
        switch (what)
        {
            case "no model":
                File.Delete(model);
                break;
            case "no optimizer":
                File.Delete(optimizer);
                break;
            case "no manifest":
                File.Delete(manifest);
                break;
            case "a short file":
                Bytes(model, b => b[..^4]);
                break;
            case "a long file":
                Bytes(model, b => [.. b, 0, 0, 0, 0]);
                break;
            case "a flipped bit":
                Bytes(optimizer, b => [.. b[..^7], (byte)(b[^7] ^ 16), .. b[^6..]]);
                break;
            case "a flipped bit in the head":
                Bytes(model, b => [.. b[..12], (byte)(b[12] ^ 1), .. b[13..]]);
                break;
            case "no JSON":
                Bytes(manifest, _ => [0xFF, 0]);
                break;
            case "half a manifest":
                Bytes(manifest, b => b[..(b.Length / 2)]);
                break;
            case "a list":
                Bytes(manifest, _ => "[]"u8.ToArray());
                break;
            default:
                Bytes(manifest, b =>
                {
                    var fields = JsonNode.Parse(b)!.AsObject();
                    Change(fields, what);
                    return Encoding.UTF8.GetBytes(fields.ToJsonString());
                });
                break;
        }

        static void Bytes(string path, Func<byte[], byte[]> change) => File.WriteAllBytes(path, change(File.ReadAllBytes(path)));
    }

    private static void Change(JsonObject fields, string what)
    {
        switch (what)
        {
            case "no slots":
                fields.Remove("slots");
                break;
            case "a step of another":
                fields["step"] = 21;
                break;
            case "an older format":
                fields["format"] = 1;
                break;
            case "a newer format":
                fields["format"] = 3;
                break;
            case "another shape":
                fields["slots"]![1]!["shape"] = new JsonArray(1, 100, 7);
                break;
            case "a huge shape":
                fields["slots"]![1]!["shape"] = new JsonArray(1L << 50);
                break;
            case "a foreign kind":
                fields["slots"]![1]!["kind"] = 9;
                break;
            case "another file":
                fields["files"]!.AsArray().RemoveAt(1);
                break;
            case "a file elsewhere":
                fields["files"]![0]!["name"] = "../step-00000010/model.safetensors";
                break;
            case "a length of its own":
                fields["files"]![0]!["bytes"] = 5;
                break;
            case "a sum of its own":
                fields["files"]![0]!["dataSha256"] = new string('0', 64);
                break;
            default:
                throw new ArgumentException(what, nameof(what));
        }
    }

    private static Task<PublishedCheckpoint> ReceiveAsync(CheckpointStore store, long step)
    {
        // Numbers that only come back whole if nothing rounds them.
        var header = new CheckpointHeader
        {
            Step = step,
            Vectors = { "model", "momentum" },
            WeightsHash = "hash",
            Scalars = { ["beta1"] = Math.Pow(0.9, 37), ["tiny"] = double.Epsilon, ["count"] = 3 },
            Slots = { new Slot { Name = "frozen \u00e4\"", Kind = 1 }, new Slot { Name = "w", Shape = { 100, 6 } }, new Slot { Name = "running", Shape = { 99 }, Kind = 2 } },
        };
        byte[] momentum = [.. Model.Reverse()];
        CheckpointChunk[] chunks =
        [
            new() { Header = header },
            new() { Data = ByteString.CopyFrom(Model) },
            new() { Vector = 1, Data = ByteString.CopyFrom(momentum) },
            new() { Sha256 = ByteString.CopyFrom(SHA256.HashData([.. Model, .. momentum])) },
        ];
        return store.ReceiveAsync(new Arriving(chunks), _ => new Dictionary<string, object> { ["beside"] = "extra" }, CancellationToken.None);
    }

    private IEnumerable<string?> Names() => Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order();
}
