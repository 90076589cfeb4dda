using System.Text.RegularExpressions;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Why the scheduler finds no node for a pod, in a sentence with the remedy. Pure.</summary>
internal static partial class SchedulingWords
{
    /// <summary>Translates the message of a pod's PodScheduled condition.</summary>
    public static string Of(string message)
    {
        if (MissingClaim().Match(message) is { Success: true } claim)
        {
            return $"It waits for the volume claim {claim.Groups[1].Value}, which does not exist: launch the run anew (delete it, then launch).";
        }

        if (message.Contains("unbound immediate PersistentVolumeClaims", StringComparison.Ordinal))
        {
            return "It waits for a volume: its claim is not bound yet (kubectl get pvc). Where the cluster has no default storage class, set storageClassName.";
        }

        if (Nodes().Match(message) is not { Success: true } nodes)
        {
            return $"No node takes it: {ClusterErrors.Trim(message)}.";
        }

        var reasons = Reasons(nodes.Groups[2].Value).ToList();
        var all = nodes.Groups[1].Value == "0"
            ? "the cluster has no nodes: add some, or wait for its autoscaler"
            : string.Join("; ", reasons.Select(r => $"{r.Nodes} of {nodes.Groups[1].Value} {r.What}"));
        var remedies = string.Concat(reasons.Select(r => r.Remedy).Where(r => r.Length > 0).Distinct().Select(r => $" {r}"));
        return $"No node takes it: {(all.Length > 0 ? all : ClusterErrors.Trim(message))}.{remedies}";
    }

    private static IEnumerable<(string Nodes, string What, string Remedy)> Reasons(string text)
    {
        // What preemption could do comes after the first full stop, and says the same once more.
        var reasons = text.Split(". preemption", 2)[0].TrimEnd('.');
        foreach (Match reason in Reason().Matches(reasons))
        {
            var (nodes, what) = (reason.Groups[1].Value, ClusterErrors.Trim(reason.Groups[2].Value));
            yield return what switch
            {
                "Insufficient cpu" => (nodes, "have too little cpu left", "Have fewer workers (scale), or ask for less cpu."),
                "Insufficient memory" => (nodes, "have too little memory left", "Have fewer workers (scale), or ask for less memory."),
                "Insufficient ephemeral-storage" => (nodes, "have too little ephemeral storage left", "Ask for less, or have larger disks."),
                "Too many pods" => (nodes, "hold as many pods as they may", "Have fewer workers (scale), or add nodes."),
                _ when what.StartsWith("Insufficient ", StringComparison.Ordinal) && what.Contains('/') => (
                    nodes, $"have no {what["Insufficient ".Length..]} left, or none at all",
                    "Have fewer workers (scale), free GPUs that others hold, or check that the nodes' device plugin runs (kubectl describe nodes)."),
                _ when what.Contains("volume node affinity conflict", StringComparison.Ordinal) => (
                    nodes, "cannot reach the run's volume, which belongs to another node or zone",
                    "Make room where the volume is, or use a storage class that binds late (volumeBindingMode: WaitForFirstConsumer)."),
                _ when Taint().Match(what) is { Success: true } taint => (nodes, $"have the taint {taint.Groups[1].Value}", "Tolerate it in the manifests, or add other nodes."),
                _ when what.Contains("node affinity/selector", StringComparison.Ordinal) => (
                    nodes, "are not of the kind that the pod asks for", "Check its nodeSelector and affinity against 'kubectl get nodes --show-labels'."),
                _ when what.Contains("unschedulable", StringComparison.Ordinal) => (nodes, "take no pods (cordoned)", "Uncordon them, or add others."),
                _ => (nodes, $"refuse it ({what})", ""),
            };
        }
    }

    [GeneratedRegex("^0/([0-9]+) nodes are available:? ?(.*)$", RegexOptions.Singleline)]
    private static partial Regex Nodes();

    // Counts stand after a comma; a taint's braces hold commas, too.
    [GeneratedRegex("(?:^|, )([0-9]+) (.+?)(?=, [0-9]+ |$)")]
    private static partial Regex Reason();

    [GeneratedRegex("taint \\{?([^:}]+)")]
    private static partial Regex Taint();

    [GeneratedRegex("persistentvolumeclaim \"([^\"]+)\" not found")]
    private static partial Regex MissingClaim();
}
