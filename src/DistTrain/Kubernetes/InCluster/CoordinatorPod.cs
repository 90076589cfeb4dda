using DistTrain.Coordinator;
using DistTrain.Coordinator.Health;
using DistTrain.Core;
using DistTrain.Core.Health;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Verbs;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>What a coordinator does because a Job of a cluster started it.</summary>
/// <param name="deployment">The workers' Deployment.</param>
/// <param name="vitals">Told of what it is at.</param>
/// <param name="surroundings">Where it is.</param>
internal sealed class CoordinatorPod(string deployment, CoordinatorVitals vitals, Surroundings surroundings)
{
    /// <summary>
    /// Waits for a coordinator that still owns the run's folder: a Job starts the next pod while the last one still writes its state, and a file server takes back the lock of
    /// a node that is lost only when its lease is over.
    /// </summary>
    /// <returns>Whether the folder is free now.</returns>
    public async Task<bool> AwaitFolderAsync(string folder, CancellationToken cancellation)
    {
        var (limits, began) = (Timeouts.Default, surroundings.Time.GetTimestamp());
        while (CoordinatorHost.IsOwned(folder))
        {
            if (cancellation.IsCancellationRequested)
            {
                return false;
            }

            if (surroundings.Time.GetElapsedTime(began) > limits.Ownership)
            {
                surroundings.Fail($"Another coordinator owns the run in {folder}, and has not let go of it in {Duration.Format(limits.Ownership)}: see that only one runs.");
                return false;
            }

            vitals.Begin(CoordinatorPhase.Opening, $"It waits for another coordinator to let go of the run in {folder}.");
            await Task.Delay(limits.FormerWorkers, surroundings.Time, cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        return true;
    }

    /// <summary>Ends as a Job understands it, and sets the workers to none where no coordinator comes after this one. That this fails is no failure of the run.</summary>
    /// <returns>The exit code.</returns>
    public async Task<int> EndAsync(int code, RunOutcome? outcome, bool wasAsked)
    {
        var ending = JobEnding.Of(code, outcome, wasAsked);
        if (ending.FreesWorkers)
        {
            vitals.Begin(CoordinatorPhase.Ending, "The run has ended. The workers are set to none.");
            var (isDone, sentence) = await ScaleAsync();
            surroundings.Error.WriteLine(isDone ? sentence : $"warning: {sentence}");
        }
        else if (ending.Code != ExitCode.Success)
        {
            surroundings.Error.WriteLine("The run is not over: the workers wait for the Job's next coordinator, which goes on with it.");
        }

        return ending.Code;
    }

    private async Task<(bool IsDone, string Sentence)> ScaleAsync()
    {
        try
        {
            using var api = ClusterApi.Open(surroundings.Environment, Timeouts.Default, surroundings.Time);
            return await ScaleDown.RunAsync(api, deployment, surroundings.Time, CancellationToken.None);
        }
        catch (ClusterApiException e)
        {
            return (false, $"{e.Message} Deployment {deployment} was not set to 0 workers.");
        }
    }
}
