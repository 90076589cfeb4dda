using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Core.Layouts;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tests.Data;

namespace DistTrain.Training.Tests.Checkpoints;

/// <summary>A file is read only where its head puts every tensor where the layout does; the hash covers the data alone.</summary>
[Collection(AloneInProcess.Name)]
public sealed class SafetensorsFileTests : IDisposable
{
    private static readonly ParameterLayout Layout = new([("a", [2], SlotKind.Parameter), ("b", [2], SlotKind.Parameter)]);
    private static readonly float[] Numbers = [1, 2, 3, 4];
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Every_tensor_is_read_into_its_place()
    {
        using var file = Open(Head(json => json));
        using var vector = new NativeVector(4);
        foreach (var slot in Layout.Slots)
        {
            file.Read("", slot, vector);
        }

        Assert.Equal(Numbers, vector.Span(0, 4).ToArray());
    }

    [Fact]
    public void Text_about_the_file_is_left_aside() =>
        Open(Head(json => json.Replace("{\"a\"", "{\"__metadata__\":{\"format\":\"pt\"},\"a\""))).Dispose();

    [Theory]
    [InlineData("\"data_offsets\":[0,8]", "\"data_offsets\":[8,16]")]
    [InlineData("\"data_offsets\":[0,8]", "\"data_offsets\":[9223372036854775804,-9223372036854775804]")]
    [InlineData("\"data_offsets\":[0,8]", "\"data_offsets\":[-8,0]")]
    [InlineData("\"shape\":[2]", "\"shape\":[1,2]")]
    [InlineData("F32", "F64")]
    [InlineData("\"b\"", "\"c\"")]
    public void A_head_of_another_layout_is_refused(string what, string other) => Refused(Head(json => json.Replace(what, other)), "its tensors are not those");

    [Fact]
    public void Two_tensors_that_changed_places_are_refused() =>
        Refused(Head(json => json.Replace("\"a\"", "\"x\"").Replace("\"b\"", "\"a\"").Replace("\"x\"", "\"b\"")), "its tensors are not those");

    [Fact]
    public void A_head_larger_than_the_layout_needs_is_refused() =>
        Refused(Head(json => json.TrimEnd() + new string(' ', 1 << 20)), "its tensors are not those");

    [Fact]
    public void Data_of_another_length_or_hash_are_refused()
    {
        Refused(Head(json => json), "its data are too short or too long", numbers: Numbers[..3]);
        Refused(Head(json => json), "its SHA-256 is not the manifest's", sum: new string('0', 64));
        Refused([1, 2, 3], "it has no head", numbers: []);
    }

    private static byte[] Head(Func<string, string> change)
    {
        var json = Encoding.UTF8.GetBytes(change(Encoding.UTF8.GetString(SafetensorsHeader.Build(Layout.Slots, [""]).AsSpan(SafetensorsHeader.LengthBytes))));
        var head = new byte[SafetensorsHeader.LengthBytes + json.Length];
        BinaryPrimitives.WriteInt64LittleEndian(head, json.Length);
        json.CopyTo(head, SafetensorsHeader.LengthBytes);
        return head;
    }

    private void Refused(byte[] head, string how, float[]? numbers = null, string? sum = null) =>
        Assert.Contains(how, Assert.Throws<DataException>(() => Open(head, numbers, sum)).Message, StringComparison.Ordinal);

    private SafetensorsFile Open(byte[] head, float[]? numbers = null, string? sum = null)
    {
        var data = MemoryMarshal.AsBytes((numbers ?? Numbers).AsSpan()).ToArray();
        var path = _folder.Write("model.safetensors", [.. head, .. data]);
        return SafetensorsFile.Open(path, sum ?? Convert.ToHexStringLower(SHA256.HashData(data)), Layout.Slots, [""]);
    }
}
