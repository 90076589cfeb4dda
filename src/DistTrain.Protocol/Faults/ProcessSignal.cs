using System.Runtime.InteropServices;

namespace DistTrain.Protocol.Faults;

/// <summary>Signals by their numbers on Linux; .NET itself sends SIGKILL and nothing else.</summary>
public static partial class ProcessSignal
{
    /// <summary>Ends a process at once.</summary>
    public const int Kill = 9;

    /// <summary>Asks a process to end.</summary>
    public const int Terminate = 15;

    /// <summary>Lets a stopped process go on.</summary>
    public const int Continue = 18;

    /// <summary>Stops a process until it is let go on.</summary>
    public const int Stop = 19;

    /// <summary>Sends a signal. One that a process sends to itself has come when this returns, where it leaves anything to return.</summary>
    /// <returns>Whether there was such a process.</returns>
    public static bool Send(int process, int signal) =>
        OperatingSystem.IsLinux() ? SendNative(process, signal) == 0 : throw new PlatformNotSupportedException("Faults need Linux.");

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendNative(int process, int signal);
}
