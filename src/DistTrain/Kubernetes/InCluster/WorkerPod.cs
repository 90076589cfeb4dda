using DistTrain.Core.Membership;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>What a worker does because it is a pod of a cluster.</summary>
/// <param name="surroundings">Where it is.</param>
internal sealed class WorkerPod(Surroundings surroundings)
{
    /// <summary>Watches over the coordinator's Job until cancelled; returns at once where no Job is named.</summary>
    /// <param name="job">The coordinator's Job; null for none.</param>
    /// <param name="deployment">The workers' Deployment.</param>
    /// <param name="absence">How long there has been no coordinator; null where there is one.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task WatchAsync(string? job, string? deployment, Func<TimeSpan?> absence, CancellationToken cancellation)
    {
        if (job is null || deployment is null)
        {
            return;
        }

        try
        {
            using var api = ClusterApi.Open(surroundings.Environment, Timeouts.Default, surroundings.Time);
            var watch = new JobWatch(api, job, deployment, absence, surroundings.Error.WriteLine, surroundings.Time);
            await watch.RunAsync(Timeouts.Default.ClusterQuestion, cancellation);
        }
        catch (ClusterApiException e)
        {
            surroundings.Error.WriteLine($"warning: {e.Message} Nobody will set Deployment {deployment} to none if Job {job} fails for good.");
        }
    }

    /// <summary>Says in an Event about this pod that the coordinator refused it, where this process is in a pod.</summary>
    public async Task TellRefusalAsync(string sentence)
    {
        if (PodEvent.Of(surroundings.Environment, PodEvent.Refused, sentence, surroundings.Time.GetUtcNow()) is not { } happened)
        {
            return;
        }

        try
        {
            using var api = ClusterApi.Open(surroundings.Environment, Timeouts.Default, surroundings.Time);
            await api.CreateAsync(happened, CancellationToken.None);
        }
        catch (ClusterApiException e)
        {
            surroundings.Error.WriteLine($"warning: {e.Message} The refusal is told here only.");
        }
    }
}
