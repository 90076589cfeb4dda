using System.Runtime.InteropServices;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Native;

/// <summary>
/// torch's operators on sparse tensors, which a thread can refuse: it then has none for what makes a sparse tensor or takes one, and throws. A backward pass on the processor goes by what the thread that
/// asks for it refuses. This is the list of excluded dispatch keys that torch keeps per thread, which TorchSharp has no call for; it is looked for behind TorchSharp's shim, as <see cref="TensorVersion"/> is.
/// </summary>
internal static unsafe class SparseOperators
{
    private const string Name = "Sparse";
    private const string ToText = "_ZN3c108toStringENS_11DispatchKeyE";
    private const string SetExcluded = "_ZN3c104impl29tls_set_dispatch_key_excludedENS_11DispatchKeyEb";
    private static readonly delegate* unmanaged[Cdecl]<ushort, byte, void> Exclude;
    private static readonly ushort Key;

    static SparseOperators()
    {
        if (!NativeLibrary.TryLoad("LibTorchSharp", typeof(torch).Assembly, null, out var shim)
            || !NativeLibrary.TryGetExport(shim, ToText, out var text) || !NativeLibrary.TryGetExport(shim, SetExcluded, out var exclude))
        {
            return;
        }

        // The numbers of the keys are other ones in every torch; their names are not.
        var nameOf = (delegate* unmanaged[Cdecl]<ushort, IntPtr>)text;
        for (Key = 1; Key < byte.MaxValue; Key++)
        {
            if (Marshal.PtrToStringUTF8(nameOf(Key)) == Name)
            {
                Exclude = (delegate* unmanaged[Cdecl]<ushort, byte, void>)exclude;
                break;
            }
        }
    }

    /// <summary>Whether this torch can be told.</summary>
    public static bool IsKnown => Exclude != null;

    /// <summary>Refuses them on this thread until disposed, where <see cref="IsKnown"/>. One at a time.</summary>
    public static Refusal Refuse()
    {
        Exclude(Key, 1);
        return new Refusal(isOn: true);
    }

    /// <summary>The time for which a thread refuses them; the default refuses nothing.</summary>
    public readonly struct Refusal(bool isOn) : IDisposable
    {
        public void Dispose()
        {
            if (isOn)
            {
                Exclude(Key, 0);
            }
        }
    }
}
