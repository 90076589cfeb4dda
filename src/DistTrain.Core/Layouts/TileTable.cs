namespace DistTrain.Core.Layouts;

/// <summary>
/// The flat vector in tiles of at most <see cref="TileSize"/> elements, counted from each slot's start. A tile is the
/// unit of norms and hashes: its sum of squares is formed in one fixed order, and tiles are added in index order, so
/// that no result depends on how the vector is cut into shards.
/// </summary>
public sealed class TileTable
{
    /// <summary>Elements of a full tile.</summary>
    public const int TileSize = 4096;

    private readonly long[] _starts;

    internal TileTable(IEnumerable<Slot> slots)
    {
        var starts = new List<long>();
        var end = 0L;
        foreach (var slot in slots)
        {
            for (var at = 0L; at < slot.Count; at += TileSize)
            {
                starts.Add(slot.Offset + at);
            }

            end = slot.Offset + slot.Count;
        }

        Count = starts.Count;
        starts.Add(end);
        _starts = [.. starts];
    }

    /// <summary>The number of tiles.</summary>
    public int Count { get; }

    /// <summary>Elements in all tiles.</summary>
    public long Elements => _starts[Count];

    /// <summary>The first element of a tile; of tile <see cref="Count"/>, the end of the vector.</summary>
    public long Start(int tile) => _starts[tile];

    /// <summary>Elements of a tile, 1..<see cref="TileSize"/>.</summary>
    public int Length(int tile) => (int)(_starts[tile + 1] - _starts[tile]);

    /// <summary>The first tile that starts at or after an element; <see cref="Count"/> where none does.</summary>
    /// <param name="element">0..<see cref="Elements"/>.</param>
    public int FirstAtOrAfter(long element)
    {
        var found = Array.BinarySearch(_starts, element);
        return found >= 0 ? found : ~found;
    }
}
