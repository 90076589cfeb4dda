using System.Runtime.InteropServices;
using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using TorchSharp;

namespace DistTrain.PyTorch;

/// <summary>What PyTorch starts from: initial weights, all samples, and which of them each step takes, in one safetensors file of fp32.</summary>
internal static class ReferenceInput
{
    /// <summary>Writes the file.</summary>
    /// <param name="path">Where.</param>
    /// <param name="layout">The weights' layout.</param>
    /// <param name="weights">The weights.</param>
    /// <param name="data">The samples. Whole numbers below 2^24, such as classes and their numbers, are exact in fp32.</param>
    /// <param name="order">The numbers of each step's samples.</param>
    public static void Write(string path, ParameterLayout layout, NativeVector weights, IDataset data, IReadOnlyList<long[]> order)
    {
        using var batch = data.Load([.. Enumerable.Range(0, (int)data.Count)]);
        using var inputs = batch.Inputs.to(torch.ScalarType.Float32);
        using var targets = batch.Targets.to(torch.ScalarType.Float32);
        var slots = layout.Slots.ToList();
        Append("data/inputs", inputs.shape);
        Append("data/targets", targets.shape);
        Append("data/order", [order.Count, order[0].Length]);

        using var file = File.Create(path);
        file.Write(SafetensorsHeader.Build(slots, [""]));
        file.Write(MemoryMarshal.AsBytes(weights.Span(0, (int)weights.Count)));
        file.Write(inputs.bytes);
        file.Write(targets.bytes);
        file.Write(MemoryMarshal.AsBytes<float>(order.SelectMany(o => o).Select(n => (float)n).ToArray()));

        void Append(string name, long[] shape) =>
            slots.Add(new Slot(name, shape, slots[^1].Offset + slots[^1].Count, shape.Aggregate(1L, (a, b) => a * b), SlotKind.Buffer));
    }
}
