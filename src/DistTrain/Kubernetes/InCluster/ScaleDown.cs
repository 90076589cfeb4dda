namespace DistTrain.Kubernetes.InCluster;

/// <summary>Sets a run's workers to none, so that what they hold is free.</summary>
internal static class ScaleDown
{
    /// <summary>So often it is tried.</summary>
    public const int Attempts = 5;

    private static readonly TimeSpan _firstPause = TimeSpan.FromSeconds(1);

    /// <summary>Tries until it is done, or cannot be done.</summary>
    /// <param name="api">The cluster.</param>
    /// <param name="deployment">The workers' Deployment.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the attempt.</param>
    /// <returns>What came of it: whether the workers are on their way out, and a sentence.</returns>
    public static async Task<(bool IsDone, string Sentence)> RunAsync(ClusterApi api, string deployment, TimeProvider time, CancellationToken cancellation)
    {
        for (var (attempt, pause) = (1, _firstPause); ; (attempt, pause) = (attempt + 1, 2 * pause))
        {
            try
            {
                await api.ScaleAsync(deployment, replicas: 0, cancellation);
                return (true, $"Deployment {deployment} was set to 0 workers.");
            }
            catch (ClusterApiException e) when (e.IsPassing && attempt < Attempts)
            {
                await Task.Delay(pause, time, cancellation);
            }
            catch (ClusterApiException e)
            {
                return (e.IsAbsence, e.IsAbsence ? e.Message : $"{e.Message} Its workers hold what they have until 'kubectl scale deployment/{deployment} --replicas=0'.");
            }
        }
    }
}
