using System.CommandLine;
using DistTrain.Kubernetes.Launching;

namespace DistTrain.Verbs;

/// <summary>The arguments by which a verb is told which cluster and which run are meant, as kubectl is.</summary>
internal sealed class ClusterArguments
{
    private readonly Option<string?> _namespace = new("--namespace", "-n")
    {
        Description = "The namespace; that of the context where left away.",
        HelpName = "NAMESPACE",
    };

    private readonly Option<string?> _context = new("--context") { Description = "The context of the kubeconfig; its current one where left away.", HelpName = "NAME" };

    private readonly Option<string?> _kubeconfig = new("--kubeconfig")
    {
        Description = "The kubeconfig; KUBECONFIG, then ~/.kube/config, then the cluster this process runs in, where left away.",
        HelpName = "FILE",
    };

    /// <summary>Adds the arguments to a verb.</summary>
    public ClusterArguments(Command command)
    {
        _namespace.Validators.Add(result =>
        {
            if (RunManifests.MistakeOfNamespace(Common.Given(result)) is { } mistake)
            {
                result.AddError(mistake);
            }
        });
        command.Add(_namespace);
        command.Add(_context);
        command.Add(_kubeconfig);
    }

    /// <summary>An argument that names a run.</summary>
    /// <param name="isOptional">Whether it may be left away.</param>
    public static Argument<string?> Run(bool isOptional)
    {
        var run = new Argument<string?>("NAME")
        {
            Description = isOptional ? "The run, as it was launched; all runs of the namespace where left away." : "The run, as it was launched.",
            Arity = isOptional ? ArgumentArity.ZeroOrOne : ArgumentArity.ExactlyOne,
        };
        run.Validators.Add(result =>
        {
            if (result.Tokens is [var token, ..] && RunNames.Mistake(token.Value) is { } mistake)
            {
                result.AddError(mistake.Replace("--name", "NAME", StringComparison.Ordinal));
            }
        });
        return run;
    }

    /// <summary>What the command line chooses.</summary>
    public ClusterChoice Choice(ParseResult parsed) => new(parsed.GetValue(_kubeconfig), parsed.GetValue(_context), parsed.GetValue(_namespace));

    /// <summary>Does something with the cluster, and turns what it fails with into a sentence and an exit code.</summary>
    public async Task<int> WithClusterAsync(ParseResult parsed, Application app, Func<ClusterSession, Task<int>> act)
    {
        try
        {
            using var cluster = ClusterSession.Open(Choice(parsed), app.Surroundings);
            return await act(cluster);
        }
        catch (ClusterException failed)
        {
            app.Surroundings.Fail(failed.Message);
            return failed.ExitCode;
        }
    }

    /// <summary>How the same choice is written for another command.</summary>
    public string Repeat(ParseResult parsed)
    {
        var choice = Choice(parsed);
        return string.Concat(
            new[] { ("--namespace", choice.Namespace), ("--context", choice.Context), ("--kubeconfig", choice.Kubeconfig) }
                .Where(o => o.Item2 is not null).Select(o => $" {o.Item1} {o.Item2}"));
    }

    /// <summary>Says that there is no such run, and which there are.</summary>
    public static async Task<int> UnknownAsync(ClusterSession cluster, string name, Application app, CancellationToken cancellation)
    {
        var runs = await RunList.NamesAsync(cluster, cancellation);
        app.Surroundings.Fail($"There is no run {name} in the namespace {cluster.Namespace} "
            + $"({(runs.Count == 0 ? "it has none" : $"it has {string.Join(", ", runs)}")}): check the name, or give --namespace.");
        return ExitCode.Failure;
    }
}
