using System.Runtime.InteropServices;
using System.Runtime.Intrinsics.X86;
using DistTrain.Core.Options;

namespace DistTrain.Training.Native;

/// <summary>
/// The environment in which libtorch computes: kernels whose choice does not follow addresses, threads that do not spin while they wait, freed memory that stays; and one instruction
/// set on hosts of different ages where a run asks for it. What the user has set is left alone.
/// </summary>
/// <remarks>
/// Torch, oneDNN and OpenMP read these variables when they are loaded, so this comes first. It goes through libc because .NET keeps an
/// environment of its own on Unix, which native libraries do not see. MKL_CBWR=AUTO keeps the fastest kernels but makes their choice independent of
/// where operands lie in memory: without it, a product of 3 x 12 by 12 x 24 differs in the last bit from run to run. CUBLAS_WORKSPACE_CONFIG does the
/// same for a GPU (NVIDIA, cuBLAS manual, "Results Reproducibility").
/// </remarks>
public static partial class CpuProfile
{
    /// <summary>The variables and their values.</summary>
    /// <param name="threads">Threads of one worker.</param>
    /// <param name="instructions">The value of <see cref="RunOptions.Instructions"/>.</param>
    /// <param name="hasAvx2">Whether the processor has AVX2; one that has not keeps the libraries' own choice.</param>
    public static IReadOnlyList<(string Name, string Value)> Variables(int threads, string instructions, bool hasAvx2) =>
    [
        .. hasAvx2 && instructions == RunOptions.Avx2Instructions
            ? [("ATEN_CPU_CAPABILITY", "avx2"), ("ONEDNN_MAX_CPU_ISA", "AVX2"), ("MKL_CBWR", "AVX2")]
            : new[] { ("MKL_CBWR", "AUTO") },
        ("OMP_NUM_THREADS", $"{threads}"),
        ("OMP_WAIT_POLICY", "passive"),
        ("CUBLAS_WORKSPACE_CONFIG", ":4096:8"),
    ];

    /// <summary>Sets what the user has not set, for this process and those it starts; this process also keeps the memory that torch frees.</summary>
    /// <param name="threads">Threads of one worker.</param>
    /// <param name="instructions">The value of <see cref="RunOptions.Instructions"/>.</param>
    public static void Apply(int threads, string instructions)
    {
        NativeHeap.KeepFreedMemory();
        foreach (var (name, value) in Variables(threads, instructions, Avx2.IsSupported))
        {
            // An empty value is what shells and container files leave of "unset"; MKL would take it for its default, which follows addresses.
            if (!string.IsNullOrEmpty(Environment.GetEnvironmentVariable(name)))
            {
                continue;
            }

            Environment.SetEnvironmentVariable(name, value);
            if (!OperatingSystem.IsWindows() && SetNative(name, value, overwrite: 1) != 0)
            {
                throw new InvalidOperationException($"{name} cannot be set: {Marshal.GetLastPInvokeErrorMessage()}");
            }
        }
    }

    [LibraryImport("libc", EntryPoint = "setenv", StringMarshalling = StringMarshalling.Utf8, SetLastError = true)]
    private static partial int SetNative(string name, string value, int overwrite);
}
