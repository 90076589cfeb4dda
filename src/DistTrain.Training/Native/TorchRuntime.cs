using System.Runtime.InteropServices;
using DistTrain.Core.Options;
using TorchSharp;

namespace DistTrain.Training.Native;

/// <summary>Loads libtorch once per process and says in one sentence what is missing where it cannot.</summary>
public static class TorchRuntime
{
    private static string? _instructions;

    /// <summary>Sets the <see cref="CpuProfile"/> and loads libtorch.</summary>
    /// <param name="threads">Intra-op threads of this process. Part of a run's identity: another number adds in another order.</param>
    /// <param name="instructions">The value of <see cref="RunOptions.Instructions"/>. A process has one: it is read when torch is loaded.</param>
    /// <exception cref="PlatformNotSupportedException">libtorch is not there, does not load, or was loaded for other instructions.</exception>
    public static void Load(int threads, string instructions = RunOptions.NativeInstructions)
    {
        if (Interlocked.CompareExchange(ref _instructions, instructions, null) is { } loaded && loaded != instructions)
        {
            throw new PlatformNotSupportedException(
                $"This process computes with instructions={loaded} for as long as it lives, the run wants instructions={instructions}: start the process again.");
        }

        CpuProfile.Apply(threads, instructions);
        try
        {
            torch.InitializeDeviceType(DeviceType.CPU);
            torch.set_num_threads(threads);
        }
        catch (Exception e) when (e is NotSupportedException or DllNotFoundException or TypeInitializationException or BadImageFormatException)
        {
            throw new PlatformNotSupportedException(
                RuntimeInformation.IsOSPlatform(OSPlatform.Linux) && RuntimeInformation.ProcessArchitecture == Architecture.X64
                    ? $"libtorch does not load from {AppContext.BaseDirectory}: build again, and see that glibc is 2.34 or newer. ({e.GetBaseException().Message})"
                    : $"libtorch is packaged for linux-x64 only, this is {RuntimeInformation.RuntimeIdentifier}: add the libtorch-cpu package of this platform.", e);
        }
    }
}
