using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>A command inside a running container, as probes and life cycle handlers run them.</summary>
internal static class Execution
{
    /// <summary>Runs a command as the container's user, in its namespaces.</summary>
    public static Task<(int Code, string Output, string Error)> RunAsync(
        V1Container container, V1Pod pod, ContainerProcess process, IEnumerable<string> command, TimeSpan patience, CancellationToken cancellation)
    {
        var words = string.Join(' ', command.Select(Shell.Quote));
        var script = $"exec {ContainerScript.Privileges(Identity.Of(container, pod.Spec))} env -i PATH={Image.ProgramFolder}:/usr/local/bin:/usr/bin {words}";
        return Shell.TryAsync(
            "nsenter", [$"--target={process.Id}", "--mount", "--net", "--pid", "--ipc", "--uts", "--", "sh", "-c", script], null, patience, cancellation);
    }
}
