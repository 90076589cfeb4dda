namespace DistTrain.Launching;

/// <summary>How the exit codes of processes are read.</summary>
internal static class ExitCodes
{
    // A process that a signal ended has an exit code above this one.
    private const int Signalled = 128;

    /// <summary>That of a process which was killed and could say nothing.</summary>
    public const int Killed = Signalled + Protocol.Faults.ProcessSignal.Kill;

    /// <summary>That of a process which was asked to end before it was done.</summary>
    public const int Terminated = Signalled + Protocol.Faults.ProcessSignal.Terminate;

    /// <summary>Whether a signal ended the process.</summary>
    public static bool IsSignal(int code) => code > Signalled;

    /// <summary>How a process ended, as the rest of a sentence.</summary>
    public static string Words(int code) => IsSignal(code) ? $"was ended by signal {code - Signalled}" : $"ended with exit code {code}";
}
