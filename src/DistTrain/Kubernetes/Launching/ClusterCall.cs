namespace DistTrain.Kubernetes.Launching;

/// <summary>What was asked of the cluster, for the sentence where it fails.</summary>
/// <param name="Verb">What was to be done, such as <c>apply</c> or <c>read</c>.</param>
/// <param name="What">To what, such as <c>job.batch/digits-coordinator</c>.</param>
/// <param name="Namespace">Where.</param>
/// <param name="Server">The address of the API server.</param>
internal sealed record ClusterCall(string Verb, string What, string Namespace, string Server);

/// <summary>Of which kind a failure of the cluster is.</summary>
internal enum ClusterFault
{
    /// <summary>What the user gave leads to no cluster.</summary>
    Configuration,

    /// <summary>The API server is not reached, or fails itself.</summary>
    Unreachable,

    /// <summary>It does not know who asks.</summary>
    Unauthorized,

    /// <summary>Who asks may not do this.</summary>
    Forbidden,

    /// <summary>A rule of the cluster keeps the object out: a quota, pod security, a webhook.</summary>
    Refused,

    /// <summary>There is no such namespace.</summary>
    NoNamespace,

    /// <summary>There is no such object.</summary>
    NotFound,

    /// <summary>The object is not valid, or cannot be changed so.</summary>
    Invalid,

    /// <summary>Anything else.</summary>
    Other,
}

/// <summary>The cluster did not do what it was asked. The message is a sentence for the user, with the remedy.</summary>
internal sealed class ClusterException(ClusterFault fault, string sentence, Exception? inner = null) : Exception(sentence, inner)
{
    /// <summary>Of which kind it is.</summary>
    public ClusterFault Fault => fault;

    /// <summary>How a command ends that meets it.</summary>
    public int ExitCode => fault == ClusterFault.Configuration ? Verbs.ExitCode.Usage : Verbs.ExitCode.Failure;
}
