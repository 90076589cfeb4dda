using DistTrain.Core.Layouts;

namespace DistTrain.Core.Tests.Layouts;

public class TileTableTests
{
    [Fact]
    public void Tiles_are_a_partition_and_start_anew_with_every_slot() =>
        Layouts.Any.Always(layout =>
        {
            var expected = layout.Slots.SelectMany(slot =>
                Enumerable.Range(0, (int)((slot.Count + TileTable.TileSize - 1) / TileTable.TileSize)).Select(i =>
                    (Start: slot.Offset + (long)i * TileTable.TileSize,
                     Length: (int)Math.Min(TileTable.TileSize, slot.Count - (long)i * TileTable.TileSize))));
            var tiles = layout.Tiles;
            Assert.Equal(expected, Enumerable.Range(0, tiles.Count).Select(t => (tiles.Start(t), tiles.Length(t))));
            Assert.Equal(layout.Count, tiles.Start(tiles.Count));
        });

    [Fact]
    public void The_first_tile_at_or_after_an_element_is_found()
    {
        var tiles = Layouts.Of(5000, 0, 10).Tiles;
        Assert.Equal(3, tiles.Count);
        long[] elements = [0, 1, 4095, 4096, 4097, 5000, 5001, 5010];
        Assert.Equal([0, 1, 1, 1, 2, 2, 3, 3], elements.Select(tiles.FirstAtOrAfter));
    }

    [Fact]
    public void An_empty_vector_has_no_tiles()
    {
        foreach (var tiles in new[] { Layouts.Of().Tiles, Layouts.Of(0, 0).Tiles })
        {
            Assert.Equal((0, 0L, 0), (tiles.Count, tiles.Elements, tiles.FirstAtOrAfter(0)));
        }
    }
}
