using DistTrain.Core.Layouts;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>The layout that a checkpoint's header describes. A header comes from outside, be it from a worker or from the disk.</summary>
internal static class CheckpointLayout
{
    /// <summary>A quarter of a terabyte of weights: what is larger is a damaged header.</summary>
    private const long MostElements = 1L << 36;

    /// <summary>More vectors than any optimizer keeps.</summary>
    private const int MostVectors = 64;

    /// <summary>Lays it out.</summary>
    /// <exception cref="InvalidDataException">It describes none; the message says why, as the end of a sentence.</exception>
    public static ParameterLayout Of(CheckpointHeader header)
    {
        var elements = 0L;
        foreach (var slot in header.Slots)
        {
            var count = slot.Shape.Aggregate((Int128)1, (product, size) => Int128.Min(product * size, MostElements + 1));
            elements = (long)Int128.Min(elements + count, MostElements + 1);
            if (!Enum.IsDefined((SlotKind)slot.Kind) || slot.Name == SafetensorsHeader.Metadata)
            {
                throw new InvalidDataException($"'{slot.Name}' of kind {slot.Kind} is no tensor");
            }

            if (slot.Shape.Any(size => size < 0) || elements > MostElements)
            {
                throw new InvalidDataException($"the shape of '{slot.Name}' is negative, or larger than any memory");
            }
        }

        if (header.Step < 0 || header.Vectors.Count is 0 or > MostVectors || header.Vectors.Distinct().Count() < header.Vectors.Count)
        {
            throw new InvalidDataException($"its header names a negative step, no vectors, more than {MostVectors}, or one twice");
        }

        try
        {
            return new ParameterLayout(header.Slots.Select(s => (s.Name, (IReadOnlyList<long>)[.. s.Shape], (SlotKind)s.Kind)));
        }
        catch (ArgumentException e)
        {
            throw new InvalidDataException(e.Message.TrimEnd('.'), e);
        }
    }
}
