namespace DistTrain.Launching;

/// <summary>Says, the moment a command is asked to end, what it does until it has ended: a step may take long.</summary>
internal static class StopNotice
{
    /// <summary>What is said of one run.</summary>
    public const string OfRun = "Stopping after the step in progress, with a checkpoint saved; a second Ctrl-C ends the run at once.";

    /// <summary>What is said of several runs.</summary>
    public const string OfRuns = "Stopping after the steps in progress, with checkpoints saved; a second Ctrl-C ends the runs at once.";

    /// <summary>Says it when asked, once.</summary>
    /// <param name="sentence">What is said.</param>
    /// <param name="say">Where it is said.</param>
    /// <param name="stop">Cancelled when the command is asked to end.</param>
    /// <returns>Disposed, nothing is said any more.</returns>
    public static IDisposable On(string sentence, Action<string> say, CancellationToken stop) => stop.Register(() => say(sentence));
}
