using System.Text.Json.Nodes;
using System.Text.RegularExpressions;

namespace DistTrain.Kubernetes.Launching;

/// <summary>What a run is launched as.</summary>
/// <param name="Names">The names of its objects.</param>
/// <param name="Namespace">Where they are.</param>
/// <param name="Image">The image of all containers; null for the base's.</param>
/// <param name="Workers">How many workers it begins with; null for the base's number.</param>
/// <param name="Configuration">The text of its configuration.</param>
internal sealed record LaunchRequest(RunNames Names, string Namespace, string? Image, int? Workers, string Configuration);

/// <summary>The base's objects made into those of one run. Pure: what goes in stays as it is.</summary>
internal static partial class RunManifests
{
    /// <summary>In the order in which they are applied: what a pod needs comes before it, the coordinator before its workers.</summary>
    private static readonly string[] Order =
        ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim", "Service", "PodDisruptionBudget", "Job", "Deployment"];

    /// <summary>The objects of a run.</summary>
    public static IReadOnlyList<JsonObject> Of(IReadOnlyList<JsonObject> manifests, LaunchRequest request) =>
    [
        .. manifests
            .Select(manifest => WithNames(manifest, request.Names))
            .Select(manifest => WithNamespace(manifest, request.Namespace))
            .Select(manifest => request.Image is null ? manifest : WithImage(manifest, request.Image))
            .Select(manifest => request.Workers is null ? manifest : WithReplicas(manifest, request.Workers.Value))
            .Select(manifest => WithConfiguration(manifest, request))
            .OrderBy(manifest => Rank((string)manifest["kind"]!))
    ];

    /// <summary>How an object is named in sentences, as kubectl does it.</summary>
    public static string Title(JsonObject manifest)
    {
        var group = ((string)manifest["apiVersion"]!).Split('/') is [var named, _] ? $".{named}" : "";
        return $"{((string)manifest["kind"]!).ToLowerInvariant()}{group}/{NameOf(manifest)}";
    }

    /// <summary>An object's name.</summary>
    public static string NameOf(JsonObject manifest) => (string)manifest["metadata"]!["name"]!;

    /// <summary>What is wrong with an image's name, as the kubelet would find out only later; null where it is one.</summary>
    public static string? MistakeOfImage(string image) => Reference().IsMatch(image)
        ? null
        : $"--image is '{image}': must be the name of an image, in lower case, such as registry.example/team/disttrain:0.1.0.";

    /// <summary>What is wrong with a namespace's name; null where it is one.</summary>
    public static string? MistakeOfNamespace(string space) => space.Length is > 0 and <= 63 && Label().IsMatch(space)
        ? null
        : $"--namespace is '{space}': must be at most 63 lower-case letters, digits and dashes, with no dash first or last.";

    private static JsonObject WithNames(JsonObject manifest, RunNames names)
    {
        var renamed = (JsonObject)Map(manifest, names.Rename)!;
        ReplaceInstances(renamed, names.Run);
        return renamed;
    }

    private static JsonObject WithNamespace(JsonObject manifest, string space)
    {
        var placed = Copy(manifest);
        placed["metadata"]!["namespace"] = space;
        foreach (var subject in placed["subjects"] as JsonArray ?? [])
        {
            if ((string?)subject?["kind"] == "ServiceAccount")
            {
                subject["namespace"] = space;
            }
        }

        return placed;
    }

    private static JsonObject WithImage(JsonObject manifest, string image)
    {
        var changed = Copy(manifest);
        var pod = changed["spec"]?["template"]?["spec"];
        foreach (var container in new[] { "initContainers", "containers" }.SelectMany(list => pod?[list] as JsonArray ?? []))
        {
            container!["image"] = image;
        }

        return changed;
    }

    private static JsonObject WithReplicas(JsonObject manifest, int workers)
    {
        var changed = Copy(manifest);
        if ((string?)changed["kind"] == "Deployment")
        {
            changed["spec"]!["replicas"] = workers;
        }

        return changed;
    }

    private static JsonObject WithConfiguration(JsonObject manifest, LaunchRequest request)
    {
        var changed = Copy(manifest);
        if ((string?)changed["kind"] == "ConfigMap" && NameOf(changed) == request.Names.Configuration)
        {
            changed["data"]![BaseManifests.ConfigurationKey] = request.Configuration;
        }

        return changed;
    }

    /// <summary>Values only: the keys of maps are the cluster's words.</summary>
    private static JsonNode? Map(JsonNode? node, Func<string, string> change) => node switch
    {
        JsonObject map => new JsonObject(map.Select(e => KeyValuePair.Create(e.Key, Map(e.Value, change)))),
        JsonArray list => new JsonArray([.. list.Select(item => Map(item, change))]),
        JsonValue value when value.TryGetValue<string>(out var text) => JsonValue.Create(change(text)),
        _ => node?.DeepClone(),
    };

    /// <summary>The run is a value of a label, and of selectors that ask for it.</summary>
    private static void ReplaceInstances(JsonNode? node, string run)
    {
        if (node is JsonObject map)
        {
            if (map.ContainsKey(RunNames.InstanceLabel))
            {
                map[RunNames.InstanceLabel] = run;
            }

            if ((string?)(map["key"] as JsonValue)?.ToString() == RunNames.InstanceLabel && map["values"] is JsonArray)
            {
                map["values"] = new JsonArray(run);
            }

            foreach (var (_, value) in map)
            {
                ReplaceInstances(value, run);
            }
        }
        else if (node is JsonArray list)
        {
            foreach (var item in list)
            {
                ReplaceInstances(item, run);
            }
        }
    }

    private static int Rank(string kind) => Array.IndexOf(Order, kind) is var at and >= 0 ? at : Order.Length;

    private static JsonObject Copy(JsonObject manifest) => manifest.DeepClone().AsObject();

    // The grammar of references, without the rule on the length of the whole.
    [GeneratedRegex("^([A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)*(:[0-9]+)?/)?"
        + "[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*(/[a-z0-9]+(([._]|__|-+)[a-z0-9]+)*)*(:\\w[\\w.-]{0,127})?(@sha256:[0-9a-f]{64})?$")]
    private static partial Regex Reference();

    [GeneratedRegex("^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
    private static partial Regex Label();
}
