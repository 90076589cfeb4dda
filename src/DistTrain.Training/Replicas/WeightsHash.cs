using System.Buffers.Binary;
using System.IO.Hashing;
using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Training.Native;

namespace DistTrain.Training.Replicas;

/// <summary>
/// The hash of a weights vector, tile by tile, so that it can be taken while the weights are written: XXH3 of every tile, and XXH128 over the
/// tiles' hashes in order (Y. Collet, xxHash). It guards against errors, not against malice; checkpoints carry SHA-256.
/// </summary>
internal sealed class WeightsHash(TileTable tiles)
{
    private readonly byte[] _hashes = new byte[tiles.Count * sizeof(ulong)];

    /// <summary>32 hexadecimal digits.</summary>
    public string Text { get; private set; } = "";

    /// <summary>Hashes one tile.</summary>
    public void Take(int tile, ReadOnlySpan<float> weights) =>
        BinaryPrimitives.WriteUInt64LittleEndian(
            _hashes.AsSpan(tile * sizeof(ulong)), XxHash3.HashToUInt64(MemoryMarshal.AsBytes(weights)));

    /// <summary>Combines the tiles' hashes.</summary>
    public void Complete() => Text = Convert.ToHexStringLower(XxHash128.Hash(_hashes));

    /// <summary>Hashes a whole vector.</summary>
    public void TakeAll(NativeVector weights)
    {
        for (var tile = 0; tile < tiles.Count; tile++)
        {
            Take(tile, weights.Span(tiles.Start(tile), tiles.Length(tile)));
        }

        Complete();
    }
}
