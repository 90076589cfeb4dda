using DistTrain.Kubernetes.Launching;
using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Which cluster is meant, by the rules of kubectl.</summary>
public sealed class KubeconfigTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_option_counts_before_the_variable_and_the_variable_before_the_home_folder()
    {
        var home = File(".kube/config", "home");
        var variable = File("variable", "variable");
        var option = File("option", "option");
        var environment = new Dictionary<string, string> { ["HOME"] = _folder.Path };
        Assert.Equal("http://home/", Open(new(null, null, null), environment).Server);
        environment["KUBECONFIG"] = variable;
        Assert.Equal("http://variable/", Open(new(null, null, null), environment).Server);
        Assert.Equal("http://option/", Open(new(option, null, null), environment).Server);
        Assert.True(System.IO.File.Exists(home));
    }

    [Fact]
    public void Several_files_are_one_and_of_one_name_the_first_counts()
    {
        var environment = new Dictionary<string, string>
        {
            ["KUBECONFIG"] = $"{File("a", "a", current: false)}:{_folder["missing"]}:{File("b", "b", space: "of-b")}:{File("c", "b", server: "http://other/")}",
        };
        using var chosen = Open(new(null, null, null), environment);
        Assert.Equal(("http://b/", "of-b"), (chosen.Server, chosen.Namespace));
        using var other = Open(new(null, "a", null), environment);
        Assert.Equal(("http://a/", "default"), (other.Server, other.Namespace));
        using var named = Open(new(null, "a", "mine"), environment);
        Assert.Equal("mine", named.Namespace);
    }

    [Theory]
    [InlineData("--kubeconfig nosuch", "error: --kubeconfig 'nosuch' does not exist: give the path of a kubeconfig file.\n")]
    [InlineData("--kubeconfig a --context b", "error: --context is 'b', which is not in the kubeconfig (it has a).\n")]
    [InlineData("--kubeconfig none", "error: The kubeconfig has no current context (it has none): give --context, or 'kubectl config use-context'.\n")]
    [InlineData("--kubeconfig broken", "error: The kubeconfig cannot be used: ")]
    [InlineData("", "error: There is no cluster to talk to: HOME/.kube/config does not exist, and this process runs in no cluster. Give --kubeconfig FILE, or set KUBECONFIG.\n")]
    public async Task A_choice_that_leads_to_no_cluster_is_a_sentence_and_exit_code_2(string choice, string sentence)
    {
        File("a", "a");
        _folder.File("none", "kind: Config\n");
        _folder.File("broken", "clusters: [\n");
        string[] args = ["status", .. choice.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(w => w is "a" or "none" or "broken" ? _folder[w] : w)];
        var (code, text, error) = await Cli.RunAsync(Scenario.Good, args, new Dictionary<string, string> { ["HOME"] = _folder["home"] });
        Assert.Equal((2, ""), (code, text));
        Assert.StartsWith(sentence.Replace("HOME", _folder["home"], StringComparison.Ordinal), error, StringComparison.Ordinal);
    }

    private static ClusterSession Open(ClusterChoice choice, IReadOnlyDictionary<string, string> environment) => ClusterSession.Open(
        choice, new Surroundings { Out = TextWriter.Null, Error = TextWriter.Null, Environment = environment, Program = ChildCommand.OfThisProcess() });

    private string File(string path, string name, bool current = true, string? space = null, string? server = null) => _folder.File(path,
        $$"""
        {{(current ? $"current-context: {name}" : "")}}
        clusters: [{ name: {{name}}, cluster: { server: "{{server ?? $"http://{name}/"}}" } }]
        contexts: [{ name: {{name}}, context: { cluster: {{name}}, user: {{name}}{{(space is null ? "" : $", namespace: {space}")}} } }]
        users: [{ name: {{name}}, user: { token: x } }]
        """);
}
