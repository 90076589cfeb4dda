using System.Text.Json.Nodes;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// The objects of <c>k8s/base</c>, which are embedded: kubectl and this program have one source. Of kustomize only what the base uses is known: resources, and a
/// ConfigMap made of files without a hash in its name. What else its kustomization may come to say is refused, not left out.
/// </summary>
internal static class BaseManifests
{
    private const string Folder = "k8s/";
    private static readonly string[] KnownKeys = ["apiVersion", "kind", "resources", "configMapGenerator"];

    /// <summary>The key of the ConfigMap, and the name of the file in the container, that holds a run's configuration.</summary>
    public const string ConfigurationKey = "run.yaml";

    /// <summary>Reads the base, in the order of its files.</summary>
    public static IReadOnlyList<JsonObject> Load() => Load(Text);

    /// <summary>Reads a base.</summary>
    /// <param name="text">The text of a file of its folder.</param>
    /// <exception cref="FormatException">Its kustomization says something that is not known here.</exception>
    public static IReadOnlyList<JsonObject> Load(Func<string, string> text)
    {
        var kustomization = ManifestYaml.Read(text("kustomization.yaml")).Single();
        if (kustomization.FirstOrDefault(k => !KnownKeys.Contains(k.Key)).Key is { } unknown)
        {
            throw new FormatException($"kustomization.yaml of the base has the key {unknown}, which launch does not know.");
        }

        return
        [
            .. kustomization["resources"]!.AsArray().SelectMany(file => ManifestYaml.Read(text((string)file!))),
            .. (kustomization["configMapGenerator"] as JsonArray ?? []).Select(generator => ConfigMap(generator!.AsObject(), text)),
        ];
    }

    private static JsonObject ConfigMap(JsonObject generator, Func<string, string> text)
    {
        var options = generator["options"] as JsonObject;
        if ((bool?)options?["disableNameSuffixHash"] != true)
        {
            throw new FormatException("A ConfigMap of the base gets a hash in its name, which launch does not make: set disableNameSuffixHash.");
        }

        var metadata = new JsonObject { ["name"] = generator["name"]!.DeepClone() };
        if (options["labels"] is { } labels)
        {
            metadata["labels"] = labels.DeepClone();
        }

        return new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = metadata,
            ["data"] = new JsonObject(generator["files"]!.AsArray().Select(f => KeyValuePair.Create((string)f!, (JsonNode?)text((string)f!)))),
        };
    }

    private static string Text(string file)
    {
        using var reader = new StreamReader(
            typeof(BaseManifests).Assembly.GetManifestResourceStream(Folder + file) ?? throw new FormatException($"The base has no file {file}."));
        return reader.ReadToEnd();
    }
}
