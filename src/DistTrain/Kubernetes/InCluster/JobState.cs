using k8s.Models;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>What became of a coordinator's Job.</summary>
internal enum JobState
{
    /// <summary>It runs, starts its pod again, waits for room, or is suspended: a coordinator may come.</summary>
    Open,

    /// <summary>It is complete.</summary>
    Complete,

    /// <summary>It has failed for good.</summary>
    Failed,

    /// <summary>There is no such Job.</summary>
    Gone,
}

/// <summary>What a worker without a coordinator concludes from what the cluster says of the Job, time after time.</summary>
/// <remarks>A Job that is not there may be about to be created: workers start at the same time, and a changed run is deleted and applied again.</remarks>
internal sealed class JobVerdict
{
    /// <summary>So many times in a row a Job has to be missing.</summary>
    public const int TimesGone = 3;

    private int _gone;

    /// <summary>Reads the state of a Job.</summary>
    public static JobState StateOf(V1Job job)
    {
        bool Has(string condition) => job.Status?.Conditions?.Any(c => c.Type == condition && c.Status == "True") == true;
        return Has("Complete") ? JobState.Complete : Has("Failed") ? JobState.Failed : JobState.Open;
    }

    /// <summary>There is a coordinator.</summary>
    public void Forget() => _gone = 0;

    /// <summary>Takes an answer.</summary>
    /// <returns>Whether no coordinator will come any more.</returns>
    public bool IsOver(JobState state)
    {
        _gone = state == JobState.Gone ? _gone + 1 : 0;
        return state is JobState.Complete or JobState.Failed || _gone >= TimesGone;
    }
}
