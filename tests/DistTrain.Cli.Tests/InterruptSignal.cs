using System.Globalization;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;

namespace DistTrain.Cli.Tests;

/// <summary>
/// A shell without job control has what it starts in the background ignore SIGINT, and that is inherited. Programs under test are to meet the signal as they do in a terminal,
/// however the tests were started.
/// </summary>
internal static partial class InterruptSignal
{
    private const int Number = 2;
    private const string Ignored = "SigIgn:";

    [ModuleInitializer]
    internal static void StopIgnoring()
    {
        if (OperatingSystem.IsLinux()
            && File.ReadLines("/proc/self/status").FirstOrDefault(l => l.StartsWith(Ignored, StringComparison.Ordinal)) is { } line
            && (ulong.Parse(line.AsSpan(Ignored.Length).Trim(), NumberStyles.HexNumber, CultureInfo.InvariantCulture) & (1UL << (Number - 1))) != 0)
        {
            Set(Number, handler: 0);
        }
    }

    [LibraryImport("libc", EntryPoint = "signal")]
    private static partial nint Set(int signal, nint handler);
}
