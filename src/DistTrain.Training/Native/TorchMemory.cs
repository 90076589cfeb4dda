using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>Tensors over memory that we own, and the address and the place of a tensor's memory: entry points of TorchSharp's shim it has no public call for.</summary>
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

    /// <summary>Which of torch's tensors it is: several objects of TorchSharp's may stand for the same one.</summary>
    public static IntPtr Identity(Tensor tensor) => *(IntPtr*)tensor.Handle;

    /// <summary>Whether two CPU tensors have the same shape and type and the same bits, those of a NaN, too.</summary>
    public static bool SameBits(Tensor a, Tensor b)
    {
        const long piece = 1 << 30;
        if (a.dtype != b.dtype || !a.shape.SequenceEqual(b.shape))
        {
            return false;
        }

        using var left = a.contiguous();
        using var right = b.contiguous();
        var one = (byte*)Address(left);
        var other = (byte*)Address(right);
        var bytes = left.numel() * left.ElementSize;
        for (var at = 0L; at < bytes; at += piece)
        {
            var count = (int)Math.Min(piece, bytes - at);
            if (!new ReadOnlySpan<byte>(one + at, count).SequenceEqual(new ReadOnlySpan<byte>(other + at, count)))
            {
                return false;
            }
        }

        return true;
    }

    /// <summary>
    /// Gives tensors memory on a device, or of a type, with their values. They stay the same tensors to whoever holds them, so what is tied stays tied.
    /// torch moves the contents of a module that way; it is therefore told of a module that holds nothing else.
    /// </summary>
    public static void Move(IReadOnlyList<Tensor> tensors, Device device)
    {
        using var carrier = new Carrier(tensors);
        THSNN_Module_to_device(carrier.Module, (long)device.type, device.type == DeviceType.CPU ? -1 : device.index, false);
        CheckForErrors();
    }

    /// <summary>Gives tensors memory of another type, as <see cref="Move"/> does of another device.</summary>
    public static void Convert(IReadOnlyList<Tensor> tensors, ScalarType type)
    {
        using var carrier = new Carrier(tensors);
        THSNN_Module_to_dtype(carrier.Module, (sbyte)type, false);
        CheckForErrors();
    }

    /// <summary>A module of torch's own, not TorchSharp's, that holds some tensors; freeing it leaves them.</summary>
    private readonly ref struct Carrier
    {
        public Carrier(IReadOnlyList<Tensor> tensors)
        {
            Module = THSNN_Sequential_ctor();
            for (var i = 0; i < tensors.Count; i++)
            {
                THSNN_Module_register_buffer(Module, $"{i}", tensors[i].Handle);
            }

            CheckForErrors();
        }

        public IntPtr Module { get; }

        public void Dispose() => THSNN_Module_dispose(Module);
    }

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

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern IntPtr THSNN_Sequential_ctor();

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void THSNN_Module_register_buffer(IntPtr module, [MarshalAs(UnmanagedType.LPStr)] string name, IntPtr tensor);

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void THSNN_Module_to_device(IntPtr module, long device, long index, [MarshalAs(UnmanagedType.U1)] bool nonBlocking);

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void THSNN_Module_to_dtype(IntPtr module, sbyte type, [MarshalAs(UnmanagedType.U1)] bool nonBlocking);

    [DllImport("LibTorchSharp", ExactSpelling = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern void THSNN_Module_dispose(IntPtr module);
}
