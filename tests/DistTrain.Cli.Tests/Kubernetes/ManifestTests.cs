using System.Text.Json.Nodes;
using DistTrain.Kubernetes.Launching;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>The base's objects made into those of a run: what kubectl makes of the same base, and nothing of the base's run left in another's.</summary>
public sealed class ManifestTests
{
    private const string Configuration = "name: mine\n";

    private static readonly LaunchRequest Other = new(new RunNames("mine-2"), "team", "registry.example/team/disttrain:2", 7, Configuration);

    /// <summary>What kubectl makes of it: <c>DISTTRAIN_WRITE_RENDERED=1 tests/acceptance/kubernetes.sh</c> writes the file anew.</summary>
    [Fact]
    public void A_run_is_what_kubectl_makes_of_the_base_with_the_same_image_replicas_and_namespace()
    {
        var rendered = ManifestYaml.Read(File.ReadAllText(Path.Combine(AppContext.BaseDirectory, "Kubernetes", "Rendered", "launch.yaml")));
        var manifests = BaseManifests.Load();
        var configuration = (string)manifests.Single(m => (string?)m["kind"] == "ConfigMap")["data"]![BaseManifests.ConfigurationKey]!;

        var made = RunManifests.Of(manifests, Other with { Names = RunNames.Base, Configuration = configuration });

        Assert.Equal(Canonical(rendered), Canonical(made));
    }

    [Fact]
    public void Another_name_leaves_nothing_of_the_bases_run()
    {
        var made = ManifestYaml.Write(RunManifests.Of(BaseManifests.Load(), Other));

        Assert.DoesNotContain("disttrain-", made.Replace("registry.example/team/disttrain:2", "", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.DoesNotContain("instance: disttrain", made, StringComparison.Ordinal);
        Assert.Contains("- http://mine-2-coordinator:5400\n", made, StringComparison.Ordinal);
        Assert.Contains("- /var/lib/disttrain/run\n", made, StringComparison.Ordinal);
        Assert.Contains("claimName: mine-2-run\n", made, StringComparison.Ordinal);
        Assert.Contains("app.kubernetes.io/name: disttrain\n", made, StringComparison.Ordinal);
        Assert.Contains("app.kubernetes.io/part-of: disttrain\n", made, StringComparison.Ordinal);
    }

    [Fact]
    public void Everything_a_pod_needs_comes_before_it_and_the_coordinator_before_its_workers() => Assert.Equal(
        ["ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "ConfigMap", "PersistentVolumeClaim", "Service", "PodDisruptionBudget", "Job", "Deployment"],
        RunManifests.Of(BaseManifests.Load(), Other).Select(m => (string)m["kind"]!).Distinct());

    [Fact]
    public void What_goes_in_stays_as_it_is()
    {
        var manifests = BaseManifests.Load();
        var before = ManifestYaml.Write(manifests);
        RunManifests.Of(manifests, Other);
        Assert.Equal(before, ManifestYaml.Write(manifests));
    }

    [Fact]
    public void Image_replicas_namespace_and_configuration_are_where_they_belong()
    {
        var made = RunManifests.Of(BaseManifests.Load(), Other).ToLookup(m => (string)m["kind"]!);

        Assert.All(made.SelectMany(m => m), m => Assert.Equal("team", (string?)m["metadata"]!["namespace"]));
        Assert.All(made["RoleBinding"], m => Assert.Equal("team", (string?)m["subjects"]![0]!["namespace"]));
        Assert.All(made["Job"].Concat(made["Deployment"]), m => Assert.Equal(Other.Image, (string?)m["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]));
        Assert.Equal(7, (int)made["Deployment"].Single()["spec"]!["replicas"]!);
        Assert.Equal(Configuration, (string?)made["ConfigMap"].Single()["data"]!["run.yaml"]);
    }

    [Fact]
    public void Without_image_and_workers_the_bases_count()
    {
        var made = RunManifests.Of(BaseManifests.Load(), Other with { Image = null, Workers = null }).Single(m => (string?)m["kind"] == "Deployment");
        Assert.Equal("disttrain:0.1.0", (string?)made["spec"]!["template"]!["spec"]!["containers"]![0]!["image"]);
        Assert.Equal(2L, (long)made["spec"]!["replicas"]!);
    }

    /// <summary>A selector by expressions, an init container, a subject of another kind: none of them is in the base today.</summary>
    [Fact]
    public void What_the_base_may_come_to_hold_is_patched_as_well()
    {
        var manifest = ManifestYaml.Read(
            """
            apiVersion: apps/v1
            kind: Deployment
            metadata: { name: disttrain-worker }
            subjects: [{ kind: Group, name: all }]
            spec:
              selector:
                matchExpressions: [{ key: app.kubernetes.io/instance, operator: In, values: [disttrain] }]
              template:
                spec:
                  initContainers: [{ name: first, image: old, args: [--at=disttrain-coordinator, /x/disttrain-run, mydisttrain-run] }]
            """);

        var made = RunManifests.Of(manifest, Other with { Workers = null }).Single();

        Assert.Equal(
            """{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"mine-2-worker","namespace":"team"},"subjects":[{"kind":"Group","name":"all"}],"""
            + "\"spec\":{\"selector\":{\"matchExpressions\":[{\"key\":\"app.kubernetes.io/instance\",\"operator\":\"In\",\"values\":[\"mine-2\"]}]},"
            + "\"template\":{\"spec\":{\"initContainers\":[{\"name\":\"first\",\"image\":\"registry.example/team/disttrain:2\","
            + "\"args\":[\"--at=mine-2-coordinator\",\"/x/disttrain-run\",\"mydisttrain-run\"]}]}}}}",
            made.ToJsonString());
    }

    [Theory]
    [InlineData("namePrefix: x-", "kustomization.yaml of the base has the key namePrefix, which launch does not know.")]
    [InlineData("configMapGenerator: [{ name: x, files: [run.yaml] }]", "A ConfigMap of the base gets a hash in its name, which launch does not make: set disableNameSuffixHash.")]
    public void A_kustomization_that_says_more_than_is_known_is_refused(string more, string sentence) => Assert.Equal(
        sentence, Assert.Throws<FormatException>(() => BaseManifests.Load(file => file == "kustomization.yaml" ? $"kind: Kustomization\nresources: []\n{more}\n" : "")).Message);

    [Theory]
    [InlineData("a", true)]
    [InlineData("digits-2", true)]
    [InlineData("a123456789012345678901234567890123456789", true)]
    [InlineData("a1234567890123456789012345678901234567890", false)]
    [InlineData("", false)]
    [InlineData("2digits", false)]
    [InlineData("digits-", false)]
    [InlineData("Digits", false)]
    [InlineData("a.b", false)]
    public void A_name_begins_names_of_services_and_labels(string name, bool isOne) => Assert.Equal(isOne, RunNames.Mistake(name) is null);

    [Theory]
    [InlineData("disttrain", true)]
    [InlineData("disttrain:0.1.0", true)]
    [InlineData("localhost:5000/disttrain", true)]
    [InlineData("Registry.Example:5000/team/dist_train.x:V1", true)]
    [InlineData("r.io/a/b@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", true)]
    [InlineData("DistTrain", false)]
    [InlineData("disttrain:", false)]
    [InlineData("dist train", false)]
    [InlineData("", false)]
    [InlineData("https://r.io/a", false)]
    [InlineData("a@sha256:12", false)]
    public void An_image_is_refused_before_a_kubelet_does(string image, bool isOne) => Assert.Equal(isOne, RunManifests.MistakeOfImage(image) is null);

    /// <summary>Objects by kind and name, keys by name: the order of neither means anything.</summary>
    private static IEnumerable<string> Canonical(IEnumerable<JsonObject> manifests) =>
        manifests.Select(m => $"{RunManifests.Title(m)} {Sorted(m)!.ToJsonString()}").Order(StringComparer.Ordinal);

    private static JsonNode? Sorted(JsonNode? node) => node switch
    {
        JsonObject map => new JsonObject(map.OrderBy(e => e.Key, StringComparer.Ordinal).Select(e => KeyValuePair.Create(e.Key, Sorted(e.Value)))),
        JsonArray list => new JsonArray([.. list.Select(Sorted)]),
        _ => node?.DeepClone(),
    };
}
