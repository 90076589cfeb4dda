using System.Buffers.Binary;
using System.Text;
using DistTrain.Core.Layouts;

namespace DistTrain.Core.Tests.Layouts;

/// <summary>The head of a file is read as it was written, and what is none is told apart.</summary>
public sealed class SafetensorsHeaderTests
{
    [Fact]
    public void What_is_written_is_read()
    {
        var layout = new ParameterLayout([("b", [2, 3], SlotKind.Parameter), ("a", [], SlotKind.Parameter), ("c", [0, 4], SlotKind.Buffer)]);
        var head = SafetensorsHeader.Build(layout.Slots, ["", "average."]);
        var entries = SafetensorsHeader.Read(head.AsSpan(SafetensorsHeader.LengthBytes));

        Assert.Equal(head.Length - SafetensorsHeader.LengthBytes, BinaryPrimitives.ReadInt64LittleEndian(head));
        Assert.NotNull(entries);
        Assert.Equal(["a", "average.a", "average.b", "average.c", "b", "c"], entries.Keys.Order(StringComparer.Ordinal));
        Assert.Equal([2L, 3L], entries["average.b"].Shape);
        Assert.Equal((SafetensorsHeader.Float32, 4L, 28L), (entries["b"].Type, entries["b"].Begin, entries["b"].End));
        Assert.Equal((28L + 4, 28L + 28), (entries["average.b"].Begin, entries["average.b"].End));
    }

    [Fact]
    public void Text_about_the_file_is_no_tensor() =>
        Assert.Empty(SafetensorsHeader.Read("""{"__metadata__":{"format":"pt"}}  """u8)!);

    [Theory]
    [InlineData("")]
    [InlineData("{")]
    [InlineData("[]")]
    [InlineData("""{"a":1}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1],"data_offsets":[0]}}""")]
    [InlineData("""{"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,4]}}""")]
    [InlineData("""{"a":{"dtype":3,"shape":[1],"data_offsets":[0,4]}}""")]
    public void What_is_no_head_is_null(string json) => Assert.Null(SafetensorsHeader.Read(Encoding.UTF8.GetBytes(json)));
}
