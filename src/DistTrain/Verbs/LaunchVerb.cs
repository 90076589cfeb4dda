using System.CommandLine;

namespace DistTrain.Verbs;

/// <summary><c>launch</c>: a run somewhere else than on this machine.</summary>
internal static class LaunchVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app) => new VerbCommand(
        "launch",
        "Start a run somewhere else than on this machine: see the verbs below it.",
        "Examples:\n"
        + "  launch kubernetes my-run.yaml --workers 4 --image registry.example/team/disttrain:0.1.0")
    {
        LaunchKubernetesVerb.Create(app),
    };
}
