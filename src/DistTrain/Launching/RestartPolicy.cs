namespace DistTrain.Launching;

/// <summary>
/// Whether a process that has ended is started again. One that a signal ended is, at once the first time, then after growing pauses, until it has been so often in a row without a
/// step completed in between. One that ended by itself has said why, and would say the same again.
/// </summary>
/// <param name="MaxRestarts">How often in a row.</param>
internal sealed record RestartPolicy(int MaxRestarts)
{
    /// <summary>The longest pause.</summary>
    public static readonly TimeSpan LongestPause = TimeSpan.FromSeconds(30);

    private static readonly TimeSpan FirstPause = TimeSpan.FromSeconds(1);

    /// <summary>Decides.</summary>
    /// <param name="state">What was decided before; the default for a process that ends for the first time.</param>
    /// <param name="exitCode">With what it ended.</param>
    /// <param name="progress">How far the run has come: mostly, how many steps it has completed so far.</param>
    public RestartDecision Decide(RestartState state, int exitCode, long progress)
    {
        var inARow = progress > state.Progress ? 0 : state.InARow;
        var again = ExitCodes.IsSignal(exitCode) && inARow < MaxRestarts;
        return new RestartDecision(again, inARow, Pause(inARow), new RestartState(again ? inARow + 1 : inARow, progress));
    }

    private static TimeSpan Pause(int inARow)
    {
        // Past 2^10 seconds it is the longest one anyway.
        var seconds = inARow == 0 ? 0 : FirstPause.TotalSeconds * (1 << Math.Min(inARow - 1, 10));
        return TimeSpan.FromSeconds(Math.Min(seconds, LongestPause.TotalSeconds));
    }
}

/// <summary>What a policy remembers of a process.</summary>
/// <param name="InARow">How often it was started again since the run came any further.</param>
/// <param name="Progress">How far it had come when it ended last.</param>
internal readonly record struct RestartState(int InARow, long Progress);

/// <summary>What becomes of a process that has ended.</summary>
/// <param name="Again">Whether it is started again.</param>
/// <param name="Before">How often it was before, in a row.</param>
/// <param name="Pause">After how long.</param>
/// <param name="State">What to remember.</param>
internal sealed record RestartDecision(bool Again, int Before, TimeSpan Pause, RestartState State)
{
    /// <summary>What people are told.</summary>
    /// <param name="process">The process.</param>
    /// <param name="exitCode">With what it ended.</param>
    public string Sentence(ChildProcess process, int exitCode)
    {
        var ended = $"{process.Title} {ExitCodes.Words(exitCode)}";
        var times = $"{Before} time{(Before == 1 ? "" : "s")} in a row without a step completed in between";
        return !Again && Before > 0 ? $"{ended} after it was started again {times}: it stays away; its log is {process.LogPath}."
            : !Again ? $"{ended}; its log is {process.LogPath}."
            : Before == 0 ? $"{ended} and is started again."
            : $"{ended} after it was started again {times}; once more in {Core.Options.Duration.Format(Pause)}.";
    }
}
