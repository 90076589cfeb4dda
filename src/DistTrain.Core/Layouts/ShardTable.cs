namespace DistTrain.Core.Layouts;

/// <summary>A run of tiles that travels as one message.</summary>
/// <param name="FirstTile">Its first tile.</param>
/// <param name="EndTile">One past its last tile.</param>
/// <param name="FirstElement">Its first element in the flat vector.</param>
/// <param name="Count">Its elements; 0 for the one chunk of an empty shard.</param>
public readonly record struct Chunk(int FirstTile, int EndTile, long FirstElement, int Count);

/// <summary>
/// The flat vector in W parameter shards, one for each rank to reduce, and each shard in chunks. Cuts fall on tile
/// boundaries; an empty shard still has one empty chunk, because a reduced step is whole only when every member has
/// spoken.
/// </summary>
public sealed class ShardTable
{
    /// <summary>The most elements of a chunk: its message stays below 256 KiB.</summary>
    public const int MaxChunkElements = 15 * TileTable.TileSize;

    /// <summary>The most tiles of a chunk, a bound on the norms a message carries where parameters are tiny.</summary>
    public const int MaxChunkTiles = 512;

    private readonly Chunk[][] _chunks;

    /// <summary>Cuts a vector for a world.</summary>
    /// <param name="tiles">
    /// The vector's tiles; null for an operation that reduces no vector, such as an evaluation.
    /// </param>
    /// <param name="worldSize">W, at least 1.</param>
    public ShardTable(TileTable? tiles, int worldSize)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(worldSize, 1);
        _chunks = new Chunk[worldSize][];
        var end = 0;
        for (var rank = 0; rank < worldSize; rank++)
        {
            var first = end;
            end = tiles is null ? 0
                : tiles.FirstAtOrAfter((long)((Int128)(rank + 1) * tiles.Elements / worldSize));
            _chunks[rank] = tiles is null || first == end ? [default] : [.. Cut(tiles, first, end)];
        }
    }

    /// <summary>W, the number of shards.</summary>
    public int WorldSize => _chunks.Length;

    /// <summary>
    /// The chunks of one shard by rising offset; at least one. A shard's size is within a tile of Elements / W.
    /// </summary>
    /// <param name="rank">0..W-1.</param>
    public IReadOnlyList<Chunk> Chunks(int rank) => _chunks[rank];

    private static IEnumerable<Chunk> Cut(TileTable tiles, int first, int end)
    {
        while (first < end)
        {
            var start = tiles.Start(first);
            var next = first + 1;
            while (next < end && next - first < MaxChunkTiles && tiles.Start(next + 1) - start <= MaxChunkElements)
            {
                next++;
            }

            yield return new Chunk(first, next, start, (int)(tiles.Start(next) - start));
            first = next;
        }
    }
}
