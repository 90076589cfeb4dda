namespace DistTrain.PlayedCluster.Nodes;

/// <summary>How long a cluster waits before it starts something again. A play divides these times by a factor that it states.</summary>
internal static class BackOff
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LongestOfContainer = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan LongestOfJob = TimeSpan.FromMinutes(10);

    /// <summary>Before a container is started again: the first time at once, then 10 s, 20 s, 40 s, ... up to 5 minutes.</summary>
    /// <param name="restarts">How often it was started again before.</param>
    public static TimeSpan OfContainer(int restarts) => restarts == 0 ? TimeSpan.Zero : Doubled(restarts - 1, LongestOfContainer);

    /// <summary>Before a job gets another pod: 10 s after its first failure, 20 s after its second, ... up to 10 minutes.</summary>
    /// <param name="failures">How many of its pods have failed.</param>
    public static TimeSpan OfJob(int failures) => failures == 0 ? TimeSpan.Zero : Doubled(failures - 1, LongestOfJob);

    private static TimeSpan Doubled(int times, TimeSpan longest) =>
        times > 20 ? longest : TimeSpan.FromTicks(Math.Min(longest.Ticks, First.Ticks << times));
}
