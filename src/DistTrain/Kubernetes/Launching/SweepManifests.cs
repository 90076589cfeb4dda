using System.Text.Json.Nodes;

namespace DistTrain.Kubernetes.Launching;

/// <summary>What a sweep is launched as.</summary>
/// <param name="Name">Its name: the first word of the names of its objects, whose Jobs are numbered from 1.</param>
/// <param name="Namespace">Where they are.</param>
/// <param name="Image">The image; null for the base's.</param>
/// <param name="Queue">The queue of Kueue in which the Jobs wait for their quota; null for none.</param>
/// <param name="Configuration">The text of the configuration that is varied.</param>
/// <param name="Runs">Of each run what it is called, and the arguments of the verb that trains it.</param>
internal sealed record SweepLaunch(
    string Name, string Namespace, string? Image, string? Queue, string Configuration, IReadOnlyList<(string Title, IReadOnlyList<string> Arguments)> Runs);

/// <summary>
/// A Job for each run of a sweep, made of the base's coordinator: one pod that trains by itself, so that a queue may take it as a whole, with a volume of its own, on which it goes on when its pod
/// is replaced. Pure: what goes in stays as it is.
/// </summary>
internal static class SweepManifests
{
    /// <summary>Where a pod has the sweep's folder.</summary>
    public const string Folder = "/var/lib/disttrain/run";

    /// <summary>Where a pod has the configuration.</summary>
    public const string Configuration = "/etc/disttrain/" + BaseManifests.ConfigurationKey;

    /// <summary>The label by which Kueue knows a Job's queue.</summary>
    private const string QueueLabel = "kueue.x-k8s.io/queue-name";

    /// <summary>Says which run a Job is: a rate has no place in a name.</summary>
    private const string RunAnnotation = "disttrain/run";

    private const string Component = "sweep";

    /// <summary>The objects of a sweep, what a pod needs before it.</summary>
    public static IReadOnlyList<JsonObject> Of(IReadOnlyList<JsonObject> manifests, SweepLaunch launch)
    {
        var whole = new RunNames(launch.Name);
        var shared = RunManifests.Of(manifests, new LaunchRequest(whole, launch.Namespace, launch.Image, null, launch.Configuration));
        var resources = Single(shared, "Deployment")["spec"]!["template"]!["spec"]!["containers"]![0]!["resources"]!;
        var made = new List<JsonObject> { WithComponent(Single(shared, "ConfigMap")) };
        foreach (var (index, (title, arguments)) in launch.Runs.Index())
        {
            var names = JobNames(launch, index);
            made.Add(Named(WithComponent(Single(shared, "PersistentVolumeClaim")), names.Volume));
            made.Add(Job(WithComponent(Named(Single(shared, "Job"), names.Run)), names, title, arguments, resources, launch.Queue));
        }

        return made;
    }

    /// <summary>The names of the objects of one run.</summary>
    public static RunNames JobNames(SweepLaunch launch, int index) => new($"{launch.Name}-{index + 1}");

    private static JsonObject Job(JsonObject job, RunNames names, string title, IReadOnlyList<string> arguments, JsonNode resources, string? queue)
    {
        var metadata = job["metadata"]!.AsObject();
        metadata["annotations"] = new JsonObject { [RunAnnotation] = title };
        if (queue is not null)
        {
            metadata["labels"]![QueueLabel] = queue;
        }

        foreach (var rule in job["spec"]!["podFailurePolicy"]!["rules"]!.AsArray())
        {
            if (rule!["onExitCodes"] is JsonObject codes)
            {
                codes["containerName"] = Component;
            }
        }

        // It asks nothing of the cluster, and nobody reaches it.
        var pod = job["spec"]!["template"]!["spec"]!.AsObject();
        pod.Remove("serviceAccountName");
        pod["automountServiceAccountToken"] = false;
        var container = pod["containers"]![0]!.AsObject();
        new[] { "ports", "startupProbe", "readinessProbe", "livenessProbe" }.ToList().ForEach(key => container.Remove(key));
        container["name"] = Component;
        container["args"] = new JsonArray([.. arguments.Select(a => (JsonNode)a)]);
        container["env"] = new JsonArray([.. container["env"]!.AsArray().Where(e => (string?)e!["name"] == "HOME").Select(e => e!.DeepClone())]);
        container["resources"] = resources.DeepClone();
        foreach (var volume in pod["volumes"]!.AsArray())
        {
            if (volume!["persistentVolumeClaim"] is JsonObject claim)
            {
                claim["claimName"] = names.Volume;
            }
        }

        return job;
    }

    private static JsonObject Single(IEnumerable<JsonObject> manifests, string kind) => manifests.Single(m => (string?)m["kind"] == kind).DeepClone().AsObject();

    private static JsonObject Named(JsonObject manifest, string name)
    {
        manifest["metadata"]!["name"] = name;
        return manifest;
    }

    /// <summary>No service and no policy of a run's coordinator means these pods.</summary>
    private static JsonObject WithComponent(JsonObject manifest)
    {
        manifest["metadata"]!["labels"]![RunNames.ComponentLabel] = Component;
        if (manifest["spec"]?["template"]?["metadata"]?["labels"] is JsonObject labels)
        {
            labels[RunNames.ComponentLabel] = Component;
        }

        return manifest;
    }
}
