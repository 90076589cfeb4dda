using DistTrain.Core.Membership;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>
/// What a worker does about a coordinator that does not come any more: whoever else would set the workers to none has died with it. While there is no coordinator it asks for the
/// coordinator's Job, and where that is over sets the Deployment to none itself.
/// </summary>
/// <param name="api">The cluster.</param>
/// <param name="job">The coordinator's Job.</param>
/// <param name="deployment">The workers' Deployment.</param>
/// <param name="absence">How long there has been no coordinator; null where there is one.</param>
/// <param name="say">Told in a sentence what came of it.</param>
/// <param name="time">The clock.</param>
internal sealed class JobWatch(ClusterApi api, string job, string deployment, Func<TimeSpan?> absence, Action<string> say, TimeProvider time)
{
    private readonly JobVerdict _verdict = new();
    private string _said = "";

    /// <summary>Watches until cancelled.</summary>
    /// <param name="every">How long a coordinator has to be away, and how often the cluster is asked.</param>
    /// <param name="cancellation">Ends it.</param>
    public async Task RunAsync(TimeSpan every, CancellationToken cancellation)
    {
        using var timer = new PeriodicTimer(every, time);
        try
        {
            while (await timer.WaitForNextTickAsync(cancellation))
            {
                if (absence() is { } gone && gone >= every)
                {
                    await AskAsync(cancellation);
                }
                else
                {
                    _verdict.Forget();
                }
            }
        }
        catch (OperationCanceledException)
        {
            // The worker ends.
        }
    }

    private async Task AskAsync(CancellationToken cancellation)
    {
        try
        {
            var state = await api.JobAsync(job, cancellation);
            if (_verdict.IsOver(state))
            {
                // One attempt for each answer: by the next one, another run of this name may have begun.
                await api.ScaleAsync(deployment, replicas: 0, cancellation);
                Say($"Job {job} is {$"{state}".ToLowerInvariant()}, and no coordinator comes. Deployment {deployment} was set to 0 workers.");
            }
        }
        catch (ClusterApiException e)
        {
            Say(e.Message);
        }
    }

    private void Say(string sentence)
    {
        if (_said != sentence)
        {
            say(_said = sentence);
        }
    }
}
