using CsCheck;
using DistTrain.Core.Layouts;

namespace DistTrain.Core.Tests.Layouts;

public class ShardTableTests
{
    [Fact]
    public void Chunks_of_all_shards_are_a_partition_of_the_tiles() =>
        Gen.Select(Layouts.Any, Gen.Int[1, 20]).Always((layout, worldSize) =>
        {
            var shards = new ShardTable(layout.Tiles, worldSize);
            Assert.Equal(worldSize, shards.WorldSize);
            var (tile, element) = (0, 0L);
            foreach (var chunk in Enumerable.Range(0, worldSize).SelectMany(shards.Chunks).Where(c => c != default))
            {
                Assert.Equal((tile, element), (chunk.FirstTile, chunk.FirstElement));
                Assert.Equal(layout.Tiles.Start(chunk.EndTile), chunk.FirstElement + chunk.Count);
                (tile, element) = (chunk.EndTile, chunk.FirstElement + chunk.Count);
            }

            Assert.Equal((layout.Tiles.Count, layout.Count), (tile, element));
        });

    [Fact]
    public void A_shard_is_within_one_tile_of_its_even_part() =>
        Gen.Select(Layouts.Any, Gen.Int[1, 20]).Always((layout, worldSize) =>
        {
            var shards = new ShardTable(layout.Tiles, worldSize);
            for (var rank = 0; rank < worldSize; rank++)
            {
                var elements = shards.Chunks(rank).Sum(c => (long)c.Count);
                Assert.InRange(elements - (double)layout.Count / worldSize, -TileTable.TileSize, TileTable.TileSize);
            }
        });

    [Fact]
    public void An_empty_shard_has_one_empty_chunk()
    {
        var shards = new ShardTable(Layouts.Of(100).Tiles, 3);
        Assert.Equal([new Chunk(0, 1, 0, 100)], shards.Chunks(0));
        Assert.Equal([default], shards.Chunks(1));
        Assert.Equal([default], shards.Chunks(2));
        Assert.Equal([default], new ShardTable(Layouts.Of().Tiles, 1).Chunks(0));
    }

    [Fact]
    public void An_operation_without_a_vector_still_hears_from_every_rank()
    {
        var shards = new ShardTable(null, 4);
        Assert.All(Enumerable.Range(0, 4), rank => Assert.Equal([default], shards.Chunks(rank)));
    }

    [Fact]
    public void No_chunk_is_above_its_limits_and_none_could_take_the_next_tile() =>
        Gen.Select(Layouts.Any, Gen.Int[1, 5]).Always((layout, worldSize) =>
        {
            var tiles = layout.Tiles;
            var shards = new ShardTable(tiles, worldSize);
            foreach (var chunks in Enumerable.Range(0, worldSize).Select(shards.Chunks))
            {
                Assert.All(chunks, c => Assert.InRange(c.Count, 0, ShardTable.MaxChunkElements));
                Assert.All(
                    chunks.SkipLast(1),
                    c => Assert.True(c.Count + tiles.Length(c.EndTile) > ShardTable.MaxChunkElements));
            }
        });

    [Fact]
    public void Tiny_parameters_are_limited_by_tiles()
    {
        var tiles = Layouts.Of([.. Enumerable.Repeat(1, 1300)]).Tiles;
        Assert.Equal([512, 512, 276], new ShardTable(tiles, 1).Chunks(0).Select(c => c.Count));
    }

    [Fact]
    public void A_chunk_of_floats_fits_a_message_of_256_KiB() =>
        Assert.InRange(
            ShardTable.MaxChunkElements * sizeof(float) + ShardTable.MaxChunkTiles * sizeof(double), 0, 256 * 1024);

    [Fact]
    public void A_world_without_workers_is_refused() =>
        Assert.Throws<ArgumentOutOfRangeException>(() => new ShardTable(null, 0));
}
