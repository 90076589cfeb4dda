using DistTrain.Kubernetes.Tests.Objects;
using DistTrain.Kubernetes.Tests.Policy;
using k8s.Models;
using YamlDotNet.RepresentationModel;

namespace DistTrain.Kubernetes.Tests;

/// <summary>
/// The committed output of <c>kubectl kustomize</c> is whole, read without a doubt, and not older than what it was rendered from as far as that can be seen
/// without kubectl; <c>tests/acceptance/kubernetes.sh</c> renders it anew.
/// </summary>
public sealed class RenderedTests
{
    private static readonly string Source = Path.Combine(AppContext.BaseDirectory, "k8s");

    public static TheoryData<string> Sets => [.. ManifestSet.Names];

    [Fact]
    public void Every_overlay_is_rendered() =>
        Assert.Equal(
            Directory.EnumerateDirectories(Path.Combine(Source, "overlays")).Select(folder => Path.GetFileName(folder)!).Concat(["base", "reader"]).Order(StringComparer.Ordinal),
            ManifestSet.Names);

    [Theory]
    [MemberData(nameof(Sets))]
    public void Objects_are_read_strictly(string name)
    {
        var set = ManifestSet.Read(name);

        Assert.Equal(File.ReadLines(ManifestSet.PathOf(name)).Count(line => line == "---") + 1, set.Objects.Count);
        Assert.NotEmpty(set.Pods);
    }

    [Theory]
    [InlineData("base", "  replicas: 2", "  replicass: 2")]
    [InlineData("base", "        livenessProbe:", "        liveProbe:")]
    [InlineData("base", "apiVersion: policy/v1", "apiVersion: policy/v1beta1")]
    [InlineData("jobset", "  successPolicy:", "  succesPolicy:")]
    [InlineData("jobset", "        backoffLimit: 6", "        backOffLimit: 6")]
    [InlineData("kueue", "  clusterQueue: disttrain", "  queue: disttrain")]
    [InlineData("monitoring", "  - interval: ", "  - every: ")]
    public void What_a_server_would_refuse_is_not_read(string name, string line, string with)
    {
        var text = File.ReadAllText(ManifestSet.PathOf(name));
        Assert.Contains(line, text);

        Assert.ThrowsAny<Exception>(() => ManifestSet.Parse(name, text.Replace(line, with, StringComparison.Ordinal)));
    }

    [Theory]
    [MemberData(nameof(Sets))]
    public void What_has_to_be_a_string_is_one(string name) =>
        Assert.Empty(Documents(File.ReadAllText(ManifestSet.PathOf(name))).SelectMany(NoStrings));

    [Theory]
    [InlineData("kind: Pod\nmetadata:\n  labels:\n    version: 0.1\n", "version: 0.1")]
    [InlineData("kind: Pod\nspec:\n  containers:\n    - args: [--workers, 1]\n", "args: 1")]
    [InlineData("kind: Pod\nspec:\n  containers:\n    - env:\n        - name: A\n          value: true\n", "value: true")]
    [InlineData("kind: ConfigMap\ndata:\n  a: 1\n", "a: 1")]
    public void What_is_no_string_is_found(string yaml, string expected) => Assert.Equal([expected], Documents(yaml).SelectMany(NoStrings));

    [Fact]
    public void The_base_is_rendered_from_what_is_there()
    {
        var files = new[] { "coordinator.yaml", "worker.yaml" }.Select(file => File.ReadAllText(Path.Combine(Source, "base", file)));
        var set = ManifestSet.Read("base");

        Assert.Equal(File.ReadAllText(Path.Combine(Source, "base", "run.yaml")), set.Of<V1ConfigMap>().Single().Data["run.yaml"]);
        Assert.Equal(
            CanonicalForm.Objects(string.Join("\n---\n", files)),
            CanonicalForm.Objects(File.ReadAllText(ManifestSet.PathOf("base"))).Where(item => !item.Key.StartsWith("v1/ConfigMap/", StringComparison.Ordinal)));
    }

    /// <summary>
    /// Two files hold the same objects. With <c>DISTTRAIN_MANIFESTS=ONE:OTHER</c> the files are those, for what compares the output of other programs; without,
    /// a rendered set and the same in another order.
    /// </summary>
    [Fact]
    public void Two_files_hold_the_same_objects()
    {
        var given = Environment.GetEnvironmentVariable("DISTTRAIN_MANIFESTS")?.Split(':');
        var one = File.ReadAllText(given?[0] ?? ManifestSet.PathOf("base"));
        var other = given is not null ? File.ReadAllText(given[1]) : string.Join("---\n", one.Split("---\n").Reverse());

        Assert.Equal(CanonicalForm.Of(one), CanonicalForm.Of(other));
    }

    [Theory]
    [InlineData("  replicas: 2", "  replicas: 3")]
    [InlineData("        - --stay\n", "")]
    [InlineData("        - \"1\"", "        - 1")]
    public void Files_that_differ_are_told_apart(string line, string with)
    {
        var one = File.ReadAllText(ManifestSet.PathOf("base"));
        Assert.Contains(line, one);

        Assert.NotEqual(CanonicalForm.Of(one), CanonicalForm.Of(one.Replace(line, with, StringComparison.Ordinal)));
    }

    [Fact]
    public void A_JobSet_runs_the_pods_of_the_base()
    {
        var (set, original) = (ManifestSet.Read("jobset"), ManifestSet.Read("base"));

        foreach (var pod in set.Pods)
        {
            var model = original.Pods.Single(p => p.Metadata.Labels[Labels.Component] == pod.Metadata.Labels[Labels.Component]);
            var (own, its) = (pod.Spec.Containers.Single(), model.Spec.Containers.Single());
            Assert.Equal(its.Resources.Limits["memory"], own.Resources.Limits["memory"]);
            Assert.Equal(its.LivenessProbe.FailureThreshold, own.LivenessProbe.FailureThreshold);
            Assert.Equal(its.Image, own.Image);
        }
    }

    private static IEnumerable<YamlNode> Documents(string yaml)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(yaml));
        return stream.Documents.Select(document => document.RootNode);
    }

    /// <summary>Plain scalars that YAML reads as something else, where the API wants a string: the models do not mind, the server does.</summary>
    private static IEnumerable<string> NoStrings(YamlNode node) => node switch
    {
        YamlMappingNode mapping => mapping.Children.SelectMany(pair => (pair.Key.ToString(), pair.Value) switch
        {
            ("labels" or "annotations" or "matchLabels" or "nodeSelector" or "data", YamlMappingNode strings) =>
                strings.Children.Where(p => !CanonicalForm.IsString(p.Value)).Select(p => $"{p.Key}: {p.Value}"),
            ("args" or "command" or "verbs" or "resources" or "resourceNames", YamlSequenceNode strings) =>
                strings.Children.SelectMany(p => p is YamlScalarNode ? CanonicalForm.IsString(p) ? [] : [$"{pair.Key}: {p}"] : NoStrings(p)),
            ("value", YamlScalarNode value) when mapping.Children.ContainsKey("name") => CanonicalForm.IsString(value) ? [] : [$"value: {value}"],
            var (_, value) => NoStrings(value),
        }),
        YamlSequenceNode sequence => sequence.Children.SelectMany(NoStrings),
        _ => [],
    };
}
