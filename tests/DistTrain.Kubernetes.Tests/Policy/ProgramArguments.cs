using System.CommandLine;
using System.CommandLine.Parsing;
using DistTrain.Configuration;
using DistTrain.Launching;
using DistTrain.Training.Tasks;
using DistTrain.Verbs;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>The program's own command line, to ask it what it thinks of arguments.</summary>
internal static class ProgramArguments
{
    private static readonly Application App = new(new TaskCatalog(), new RecipeShelf(), new Surroundings
    {
        Out = TextWriter.Null,
        Error = TextWriter.Null,
        Environment = new Dictionary<string, string>(),
        Program = new ChildCommand("disttrain", []),
    });

    private static readonly Dictionary<string, Command> Verbs =
        new[] { CoordinatorVerb.Create(App), WorkerVerb.Create(App) }.ToDictionary(verb => verb.Name);

    /// <summary>What is wrong with the arguments of a container, after the kubelet put the pod's address in; null where nothing is.</summary>
    public static string? Problem(IReadOnlyList<string> arguments)
    {
        if (arguments is not [var name, ..] || !Verbs.TryGetValue(name, out var verb))
        {
            return $"'{string.Join(' ', arguments.Take(1))}' is no verb that runs in a pod";
        }

        var words = arguments.Skip(1).Select(word => word.Replace("$(POD_IP)", "10.0.0.1", StringComparison.Ordinal));
        var parsed = verb.Parse([.. words]);

        // What no option is called may still stand where a configuration may be named.
        return parsed.Errors is [var first, ..] ? first.Message
            : parsed.CommandResult.Children.OfType<ArgumentResult>().SelectMany(argument => argument.Tokens)
                .FirstOrDefault(token => token.Value.StartsWith('-')) is { } unknown ? $"'{unknown.Value}' is no option of {name}"
            : null;
    }
}
