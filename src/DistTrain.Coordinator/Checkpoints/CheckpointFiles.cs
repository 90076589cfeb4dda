using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>A file of a checkpoint, as its manifest lists it.</summary>
/// <param name="Name">Its name, in the checkpoint's folder.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="DataSha256">SHA-256 of the bytes behind its head, in hexadecimal.</param>
internal sealed record CheckpointFile(string Name, long Bytes, string DataSha256);

/// <summary>Which vectors of a state lie in which file. Each file has a head that follows from the layout, and the vectors behind it.</summary>
/// <param name="Name">The file.</param>
/// <param name="FirstVector">Index of its first vector in the header.</param>
/// <param name="Prefixes">What stands before the names of the tensors in each of its vectors.</param>
internal sealed record CheckpointPart(string Name, int FirstVector, IReadOnlyList<string> Prefixes)
{
    /// <summary>The parts of a state: its weights, and the vectors of the optimizer where it has any.</summary>
    public static IReadOnlyList<CheckpointPart> Of(CheckpointHeader header)
    {
        var model = new CheckpointPart("model.safetensors", 0, [""]);
        return header.Vectors.Count == 1
            ? [model]
            : [model, new CheckpointPart("optimizer.safetensors", 1, [.. header.Vectors.Skip(1).Select(name => name + ".")])];
    }

    /// <summary>What the file begins with.</summary>
    public byte[] Head(ParameterLayout layout) => SafetensorsHeader.Build(layout.Slots, Prefixes);

    /// <summary>Bytes behind the head.</summary>
    public long DataBytes(ParameterLayout layout) => Prefixes.Count * layout.Count * sizeof(float);
}
