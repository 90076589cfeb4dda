using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>Tensors over memory that we own, and the address of a tensor's memory: two entry points of TorchSharp's shim it has no public call for.</summary>
internal static unsafe class TorchMemory
{
    /// <summary>A tensor that reads and writes a part of a vector. The vector must outlive it.</summary>
    public static Tensor View(NativeVector vector, long offset, IReadOnlyList<long> shape)
    {
        var dimensions = shape.ToArray();
        delegate* unmanaged[Cdecl]<IntPtr, void> keep = &Keep;
        fixed (long* sizes = dimensions)
        {
            return Tensor.UnsafeCreateTensor(THSTensor_new(
                (IntPtr)(vector.Data + offset), (IntPtr)keep, (IntPtr)sizes, dimensions.Length,
                (sbyte)ScalarType.Float32, (sbyte)ScalarType.Float32, (int)DeviceType.CPU, 0, false));
        }
    }

    /// <summary>Where a CPU tensor's first element lies.</summary>
    public static IntPtr Address(Tensor tensor) => THSTensor_data(tensor.Handle);

    [UnmanagedCallersOnly(CallConvs = [typeof(CallConvCdecl)])]
    private static void Keep(IntPtr data)
    {
        // The vector owns the memory; torch must not free it.
    }

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern IntPtr THSTensor_new(
        IntPtr data, IntPtr deleter, IntPtr sizes, int rank, sbyte type, sbyte storedType, int deviceType, int deviceIndex,
        [MarshalAs(UnmanagedType.U1)] bool requiresGrad);

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern IntPtr THSTensor_data(IntPtr tensor);
}
