using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text.Json;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Protocol.V1;
using DistTrain.TestKit;
using Google.Protobuf;
using Grpc.Core;

namespace DistTrain.Cluster.Tests;

/// <summary>A checkpoint is on disk whole, in a format that others read, or not at all.</summary>
public sealed class CheckpointStoreTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly byte[] _model = Numbers(70_000 + 6, 1);
    private readonly byte[] _momentum = Numbers(70_000 + 6, 2);

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_is_received_is_what_is_served()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        var published = await ReceiveAsync(store, Stream(5));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(_model)), published.ModelSha256);

        var served = new Collected();
        await store.SendAsync(5, served, CancellationToken.None);
        Assert.Equal(Header(5), served.Chunks[0].Header);
        Assert.Equal(_model, served.Chunks.Skip(1).Where(c => c.Vector == 0).SelectMany(c => c.Data).ToArray());
        Assert.Equal(_momentum, served.Chunks.Where(c => c.Vector == 1).SelectMany(c => c.Data).ToArray());
        Assert.Equal(SHA256.HashData([.. _model, .. _momentum]), served.Chunks[^1].Sha256.ToByteArray());
        foreach (var vector in served.Chunks.Where(c => c.Data.Length > 0).GroupBy(c => c.Vector))
        {
            var at = 0L;
            foreach (var chunk in vector)
            {
                Assert.Equal(at, chunk.Offset);
                at += chunk.Data.Length / sizeof(float);
            }
        }
    }

    [Fact]
    public async Task The_files_are_safetensors_and_the_manifest_has_their_hashes()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        var published = await ReceiveAsync(store, Stream(5));
        var model = ReadSafetensors(Path.Combine(published.Folder, "model.safetensors"));
        Assert.Equal(["a.bias", "b.weight"], model.Keys.Order(StringComparer.Ordinal));
        Assert.Equal([2L, 3L], model["a.bias"].Shape);
        Assert.Equal(_model[..24], model["a.bias"].Bytes);
        Assert.Equal(_model[24..], model["b.weight"].Bytes);
        var optimizer = ReadSafetensors(Path.Combine(published.Folder, "optimizer.safetensors"));
        Assert.Equal(_momentum[24..], optimizer["momentum.b.weight"].Bytes);

        using var manifest = JsonDocument.Parse(File.ReadAllText(Path.Combine(published.Folder, "manifest.json")));
        Assert.Equal((5, 2, "extra"), (
            manifest.RootElement.GetProperty("step").GetInt64(), manifest.RootElement.GetProperty("format").GetInt32(),
            manifest.RootElement.GetProperty("beside").GetString()));
        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(_momentum)),
            manifest.RootElement.GetProperty("files")[1].GetProperty("dataSha256").GetString());
    }

    [Fact]
    public async Task Without_optimizer_state_there_is_no_optimizer_file()
    {
        var header = Header(1);
        header.Vectors.RemoveAt(1);
        var published = await ReceiveAsync(new CheckpointStore(_folder.Path, 3), Stream(header, _model, SHA256.HashData(_model)));
        Assert.Equal(["manifest.json", "model.safetensors"], Directory.GetFiles(published.Folder).Select(Path.GetFileName).Order());
    }

    [Theory]
    [InlineData("a damaged hash", "its SHA-256 is not the writer's")]
    [InlineData("damaged data", "its SHA-256 is not the writer's")]
    [InlineData("no hash", "it is cut short")]
    [InlineData("given up", "its writer gave it up")]
    [InlineData("too short", "it is cut short")]
    [InlineData("too long", "it is cut short")]
    [InlineData("no header", "it does not begin with a header")]
    [InlineData("nothing", "it does not begin with a header")]
    [InlineData("no vectors", "no vectors")]
    [InlineData("one vector twice", "one twice")]
    [InlineData("a negative step", "a negative step")]
    [InlineData("a negative shape", "the shape of 'b.weight'")]
    [InlineData("a huge shape", "the shape of 'b.weight'")]
    [InlineData("an overflowing shape", "the shape of 'b.weight'")]
    [InlineData("a name twice", "Two tensors have the name 'a.bias'")]
    public async Task What_is_not_a_whole_checkpoint_is_refused_and_leaves_nothing_behind(string what, string why)
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        await ReceiveAsync(store, Stream(4));
        var before = Files();
        var (header, data) = (Header(5), _model.Concat(_momentum).ToArray());
        var hash = SHA256.HashData(data);
        var stream = what switch
        {
            "a damaged hash" => Stream(header, data, [.. hash[..31], (byte)(hash[31] ^ 1)]),
            "damaged data" => Stream(header, [.. data[..^1], (byte)(data[^1] ^ 1)], hash),
            "no hash" => Stream(header, data, hash).SkipLast(1),
            "given up" => Stream(header, data, hash).Take(2).Append(new CheckpointChunk()),
            "too short" => Stream(header, data[..^400], SHA256.HashData(data[..^400])),
            "too long" => Stream(header, [.. data, 1, 2, 3, 4], SHA256.HashData([.. data, 1, 2, 3, 4])),
            "no header" => Stream(header, data, hash).Skip(1),
            "nothing" => Stream(header, data, hash).Take(0),
            "no vectors" => Stream(Change(h => h.Vectors.Clear()), data, hash),
            "one vector twice" => Stream(Change(h => h.Vectors[1] = "model"), data, hash),
            "a negative step" => Stream(Change(h => h.Step = -1), data, hash),
            "a negative shape" => Stream(Change(h => h.Slots[0].Shape[0] = -70_000), data, hash),
            "a huge shape" => Stream(Change(h => h.Slots[0].Shape[0] = 1L << 50), data, hash),
            "an overflowing shape" => Stream(Change(h => h.Slots[0].Shape.AddRange([long.MaxValue, long.MaxValue])), data, hash),
            _ => Stream(Change(h => h.Slots[0].Name = "a.bias"), data, hash),
        };
        var refused = await Assert.ThrowsAsync<RpcException>(() => ReceiveAsync(store, stream));
        Assert.Contains(why, refused.Status.Detail);
        Assert.Equal(StatusCode.InvalidArgument, refused.StatusCode);
        Assert.Equal(before, Files());
        Assert.Equal(4, store.Newest!.Header.Step);

        CheckpointHeader Change(Action<CheckpointHeader> change)
        {
            change(header);
            return header;
        }
    }

    [Fact]
    public async Task A_writer_that_breaks_off_leaves_nothing_behind()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        await Assert.ThrowsAsync<IOException>(() => ReceiveAsync(store, Broken()));
        Assert.Empty(Files());

        IEnumerable<CheckpointChunk> Broken()
        {
            foreach (var chunk in Stream(5).Take(3))
            {
                yield return chunk;
            }

            throw new IOException("broken");
        }
    }

    [Fact]
    public async Task The_newest_are_kept_and_the_others_go()
    {
        var store = new CheckpointStore(_folder.Path, keep: 2);
        foreach (var step in new long[] { 0, 10, 20, 30 })
        {
            await ReceiveAsync(store, Stream(step));
        }

        Assert.Equal(["step-00000020", "step-00000030"], Directory.GetDirectories(_folder.Path).Select(Path.GetFileName).Order());
        Assert.Equal(30, store.Newest!.Header.Step);
        var gone = await Assert.ThrowsAsync<RpcException>(() => store.SendAsync(10, new Collected(), CancellationToken.None));
        Assert.Equal((StatusCode.NotFound, "There is no checkpoint of step 10."), (gone.StatusCode, gone.Status.Detail));
    }

    [Fact]
    public async Task The_one_to_which_the_run_goes_back_stays_until_another_counts()
    {
        var store = new CheckpointStore(_folder.Path, keep: 1) { Counted = 0 };
        await ReceiveAsync(store, Stream(0));
        await ReceiveAsync(store, Stream(10));
        await ReceiveAsync(store, Stream(20));
        Assert.Equal(["step-00000000", "step-00000020"], Directory.GetDirectories(_folder.Path).Select(Path.GetFileName).Order());
        store.Counted = 20;
        await ReceiveAsync(store, Stream(30));
        Assert.Equal(["step-00000020", "step-00000030"], Directory.GetDirectories(_folder.Path).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Another_state_of_a_step_takes_the_place_of_the_first_and_the_same_state_is_not_taken_twice()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        await ReceiveAsync(store, Stream(5));
        var again = await Assert.ThrowsAsync<RpcException>(() => ReceiveAsync(store, Stream(5)));
        Assert.Equal((StatusCode.AlreadyExists, "There is a checkpoint of step 5 already."), (again.StatusCode, again.Status.Detail));

        var other = Header(5);
        other.WeightsHash = "other";
        var data = _momentum.Concat(_model).ToArray();
        await ReceiveAsync(store, Stream(other, data, SHA256.HashData(data)));
        Assert.Equal(["step-00000005"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName));
        var served = new Collected();
        await store.SendAsync(5, served, CancellationToken.None);
        Assert.Equal(_momentum, served.Chunks.Where(c => c is { Vector: 0, Header: null }).SelectMany(c => c.Data).ToArray());
    }

    [Fact]
    public async Task What_is_thrown_away_from_a_step_on_does_not_come_back_not_even_what_was_on_its_way()
    {
        var store = new CheckpointStore(_folder.Path, keep: 5);
        foreach (var step in new long[] { 0, 5, 10 })
        {
            await ReceiveAsync(store, Stream(step));
        }

        var refused = await Assert.ThrowsAsync<RpcException>(() => ReceiveAsync(store, DiscardedMeanwhile()));
        Assert.Contains("the run has gone on another way meanwhile", refused.Status.Detail);
        Assert.Equal(["step-00000000"], Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName));
        Assert.Equal(0, store.Newest!.Header.Step);
        await ReceiveAsync(store, Stream(5));
        Assert.Equal(5, store.Newest!.Header.Step);

        IEnumerable<CheckpointChunk> DiscardedMeanwhile()
        {
            foreach (var chunk in Stream(15))
            {
                yield return chunk;
                if (chunk.Header is not null)
                {
                    store.DiscardFrom(5);
                }
            }
        }
    }

    [Fact]
    public async Task Checkpoints_damaged_after_they_were_published_are_served_to_nobody()
    {
        var store = new CheckpointStore(_folder.Path, keep: 3);
        var published = await ReceiveAsync(store, Stream(5));
        Flip(Path.Combine(published.Folder, "optimizer.safetensors"), fromEnd: 1);
        var served = new Collected();
        var damaged = await Assert.ThrowsAsync<RpcException>(() => store.SendAsync(5, served, CancellationToken.None));
        Assert.Equal(StatusCode.DataLoss, damaged.StatusCode);
        Assert.Contains($"Checkpoint 5 in {published.Folder} cannot be used: its SHA-256 is not the manifest's any more.", damaged.Status.Detail);
        Assert.DoesNotContain(served.Chunks, c => c.Sha256.Length > 0);

        File.Delete(Path.Combine(published.Folder, "model.safetensors"));
        var missing = await Assert.ThrowsAsync<RpcException>(() => store.SendAsync(5, new Collected(), CancellationToken.None));
        Assert.Contains("model.safetensors", missing.Status.Detail);
    }

    private static void Flip(string path, int fromEnd)
    {
        var bytes = File.ReadAllBytes(path);
        bytes[^fromEnd] ^= 1;
        File.WriteAllBytes(path, bytes);
    }

    [Fact]
    public async Task The_best_is_kept_beside_the_newest_also_by_a_later_process()
    {
        var store = new CheckpointStore(_folder.Path, keep: 2);
        await ReceiveAsync(store, Stream(0));
        await ReceiveAsync(store, Stream(10));
        store.NoteEvaluation(10, 1.0);
        await ReceiveAsync(store, Stream(20));
        store.NoteEvaluation(20, 2.0);
        await ReceiveAsync(store, Stream(30));
        Assert.Equal(["best.json", "step-00000010", "step-00000020", "step-00000030"], Names());

        store = CheckpointStore.Open(_folder.Path, keep: 2).Store;
        await ReceiveAsync(store, Stream(40));
        Assert.Equal(["best.json", "step-00000010", "step-00000030", "step-00000040"], Names());
        store.NoteEvaluation(45, 0.5);
        await ReceiveAsync(store, Stream(50));
        await ReceiveAsync(store, Stream(60));
        await ReceiveAsync(store, Stream(70));
        Assert.Equal(["best.json", "step-00000050", "step-00000060", "step-00000070"], Names());

        IEnumerable<string?> Names() => Directory.GetFileSystemEntries(_folder.Path).Select(Path.GetFileName).Order();
    }

    private static byte[] Numbers(int count, int seed)
    {
        var random = new Random(seed);
        return [.. Enumerable.Range(0, count).SelectMany(_ => BitConverter.GetBytes((float)random.NextDouble()))];
    }

    private static Task<PublishedCheckpoint> ReceiveAsync(CheckpointStore store, IEnumerable<CheckpointChunk> chunks) =>
        store.ReceiveAsync(new Arriving(chunks), _ => new Dictionary<string, object> { ["beside"] = "extra" }, CancellationToken.None);

    private static CheckpointHeader Header(long step) => new()
    {
        Step = step,
        Vectors = { "model", "momentum" },
        WeightsHash = "hash",
        Slots =
        {
            new Slot { Name = "b.weight", Shape = { 70_000 } },
            new Slot { Name = "a.bias", Shape = { 2, 3 } },
        },
    };

    private IEnumerable<CheckpointChunk> Stream(long step)
    {
        var data = _model.Concat(_momentum).ToArray();
        return Stream(Header(step), data, SHA256.HashData(data));
    }

    private IEnumerable<CheckpointChunk> Stream(CheckpointHeader header, byte[] data, byte[] hash)
    {
        yield return new CheckpointChunk { Header = header };
        var vector = _model.Length;
        for (var at = 0; at < data.Length;)
        {
            var end = Math.Min(at + (1 << 16), at < vector ? Math.Min(vector, data.Length) : data.Length);
            yield return new CheckpointChunk { Data = ByteString.CopyFrom(data.AsSpan(at, end - at)) };
            at = end;
        }

        yield return new CheckpointChunk { Sha256 = ByteString.CopyFrom(hash) };
    }

    private string[] Files() => [.. Directory.GetFileSystemEntries(_folder.Path, "*", SearchOption.AllDirectories).Order()];

    /// <summary>Written from the format's description and from nothing else.</summary>
    private static Dictionary<string, (long[] Shape, byte[] Bytes)> ReadSafetensors(string path)
    {
        var file = File.ReadAllBytes(path);
        var length = (int)BinaryPrimitives.ReadUInt64LittleEndian(file);
        Assert.Equal((byte)'{', file[8]);
        using var header = JsonDocument.Parse(file.AsMemory(8, length));
        var data = file.AsSpan(8 + length);
        var tensors = new Dictionary<string, (long[] Shape, byte[] Bytes)>();
        var covered = 0;
        foreach (var tensor in header.RootElement.EnumerateObject())
        {
            Assert.Equal("F32", tensor.Value.GetProperty("dtype").GetString());
            var shape = tensor.Value.GetProperty("shape").EnumerateArray().Select(s => s.GetInt64()).ToArray();
            var offsets = tensor.Value.GetProperty("data_offsets").EnumerateArray().Select(o => o.GetInt32()).ToArray();
            Assert.Equal(shape.Aggregate(4L, (a, b) => a * b), offsets[1] - offsets[0]);
            covered += offsets[1] - offsets[0];
            tensors.Add(tensor.Name, (shape, data[offsets[0]..offsets[1]].ToArray()));
        }

        Assert.Equal(data.Length, covered);
        return tensors;
    }
}
