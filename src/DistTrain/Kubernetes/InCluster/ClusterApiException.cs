using System.Net;
using k8s.Autorest;
using k8s.Exceptions;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>The cluster's API did not do what it was asked, with the reason in a sentence.</summary>
internal sealed class ClusterApiException(string sentence, Exception? cause = null) : Exception(sentence, cause)
{
    /// <summary>Whether the same call may succeed later.</summary>
    public bool IsPassing { get; init; } = true;

    /// <summary>Whether what the call is about does not exist.</summary>
    public bool IsAbsence { get; init; }

    /// <summary>Puts into words what came of a call.</summary>
    /// <param name="what">What was asked, such as <c>scale Deployment disttrain-worker</c>.</param>
    /// <param name="cause">What came instead.</param>
    public static ClusterApiException Of(string what, Exception cause) => cause switch
    {
        HttpOperationException { Response.StatusCode: HttpStatusCode.NotFound } => new($"There is nothing to {what}: the cluster knows no such object.", cause)
        {
            IsPassing = false,
            IsAbsence = true,
        },
        HttpOperationException { Response.StatusCode: HttpStatusCode.Forbidden } => new($"This pod's service account may not {what}: see its Role.", cause)
        {
            IsPassing = false,
        },
        HttpOperationException { Response: { } answer } => new(
            $"The cluster did not {what}: it answered {(int)answer.StatusCode}.", cause)
        {
            IsPassing = (int)answer.StatusCode is 401 or 408 or 409 or 429 or >= 500,
        },
        OperationCanceledException => new($"The cluster did not {what} in time.", cause),
        KubeConfigException => new($"The cluster cannot be asked to {what}: {cause.Message}", cause) { IsPassing = false },
        _ => new($"The cluster's API is out of reach, and cannot {what}: {cause.GetBaseException().Message}", cause),
    };
}
