using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>torch's generator on the processor, from which initial weights and dropout are drawn.</summary>
internal static class TorchGenerator
{
    /// <summary>The generator belongs to the process: where several replicas share one, as in tests, seeding and forward pass must not interleave.</summary>
    public static Lock Gate { get; } = new();

    /// <summary>Where it stands, in a new tensor.</summary>
    public static Tensor State() => Generator.Default.get_state();

    /// <summary>Puts it where it stood.</summary>
    public static void Set(Tensor state) => Generator.Default.set_state(state);
}
