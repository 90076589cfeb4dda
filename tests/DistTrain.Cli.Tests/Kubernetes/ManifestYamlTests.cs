using System.Text.Json.Nodes;
using CsCheck;
using DistTrain.Kubernetes.Launching;
using k8s;
using k8s.Models;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Manifests as trees: read as kubectl reads them, written so that they are read back as they were.</summary>
public sealed class ManifestYamlTests
{
    [Theory]
    [InlineData("1", "1")]
    [InlineData("\"1\"", "\"1\"")]
    [InlineData("0440", "288")]
    [InlineData("0o17", "15")]
    [InlineData("1.5", "1.5")]
    [InlineData("true", "true")]
    [InlineData("yes", "true")]
    [InlineData("'yes'", "\"yes\"")]
    [InlineData("0.1.0", "\"0.1.0\"")]
    [InlineData("100%", "\"100%\"")]
    [InlineData("10Gi", "\"10Gi\"")]
    [InlineData("~", "null")]
    [InlineData("", "null")]
    [InlineData("{}", "{}")]
    [InlineData("[]", "[]")]
    [InlineData("|\n  a\n  b\n", "\"a\\nb\\n\"")]
    public void A_scalar_is_what_kubectl_takes_it_for(string yaml, string json) =>
        Assert.Equal($$"""{"a":{{json}}}""", ManifestYaml.Read($"a: {yaml}").Single().ToJsonString());

    [Fact]
    public void Documents_are_read_in_order_and_empty_ones_left_out() =>
        Assert.Equal(["1", "2"], ManifestYaml.Read("a: 1\n---\n---\n# nothing\n---\na: 2\n").Select(d => d["a"]!.ToJsonString()));

    [Fact]
    public void A_document_that_is_no_map_is_refused() =>
        Assert.Equal("A manifest is a map with apiVersion and kind.", Assert.Throws<FormatException>(() => ManifestYaml.Read("- 1")).Message);

    /// <summary>What is written, this and the cluster's own reader read back as it was, whatever texts a configuration holds.</summary>
    [Fact]
    public void Any_tree_is_read_back_as_it_was()
    {
        string[] words =
        [
            "true", "no", "1", "1e3", "0440", "", " ", "a: b", "- a", "#c", "null", "a #b", "2001-01-01", "12:30", "=", "!x", "&x", "*x", "|", "%", "@", "`", "\"", "'",
            "line\nline\n", "line\n\n  deep\n", "\n", " first\nsecond", "tab\tend ", "ends with space \nx", "\u00e9", "\u0001", "0x1f", ".5", "-", "a\rb", "http://x:5400", "--workers",
        ];
        var text = Gen.OneOf(Gen.Int[0, words.Length - 1].Select(i => words[i]), Gen.String[Gen.Char['\u0020', '\u007e'], 0, 20]);
        var value = Gen.OneOf(text.Select(t => (JsonNode?)JsonValue.Create(t)), Gen.Int.Select(i => (JsonNode?)JsonValue.Create(i)), Gen.Bool.Select(b => (JsonNode?)JsonValue.Create(b)));
        Gen.Select(text, value).Array[0, 6].Sample(pairs =>
        {
            var data = new JsonObject();
            foreach (var (key, item) in pairs)
            {
                data[key] = new JsonArray(item?.DeepClone(), new JsonObject { [key] = item?.DeepClone() });
            }

            var tree = new JsonObject { ["kind"] = "X", ["data"] = data };
            var written = ManifestYaml.Write([tree, tree]);
            Assert.All(ManifestYaml.Read(written), read => Assert.Equal(tree.ToJsonString(), read.ToJsonString()));
        }, iter: 500);
    }

    [Fact]
    public void The_clients_own_reader_reads_a_configuration_back_as_it_was()
    {
        const string configuration = "# mine\nname: x\n\nmodel: { name: \"cnn\" }   # spaces  \n\ttab\n";
        var map = new JsonObject
        {
            ["apiVersion"] = "v1",
            ["kind"] = "ConfigMap",
            ["metadata"] = new JsonObject { ["name"] = "true" },
            ["data"] = new JsonObject { ["run.yaml"] = configuration, ["no"] = "1" },
        };
        var read = KubernetesYaml.Deserialize<V1ConfigMap>(ManifestYaml.Write([map]), strict: true);
        Assert.Equal(("true", configuration, "1"), (read.Metadata.Name, read.Data["run.yaml"], read.Data["no"]));
    }
}
