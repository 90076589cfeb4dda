using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>
/// How often torch has changed a tensor in place, which it counts for autograd, after each change. Any thread may ask. The count is that of torch's operator <c>_version</c>, which TorchSharp has no
/// call for; it is looked for behind TorchSharp's shim, so that no second torch is loaded.
/// </summary>
internal static unsafe class TensorVersion
{
    private const string Operator = "_ZN2at4_ops8_version4callERKNS_6TensorE";
    private static readonly delegate* unmanaged[Cdecl]<IntPtr, long> Call = Find();

    /// <summary>Whether this torch can be asked.</summary>
    public static bool IsKnown => Call != null;

    /// <summary>The count of a tensor.</summary>
    public static long Of(Tensor tensor) => Call(tensor.Handle);

    private static delegate* unmanaged[Cdecl]<IntPtr, long> Find() =>
        NativeLibrary.TryLoad("LibTorchSharp", typeof(torch).Assembly, null, out var shim) && NativeLibrary.TryGetExport(shim, Operator, out var found)
            ? (delegate* unmanaged[Cdecl]<IntPtr, long>)found
            : null;
}
