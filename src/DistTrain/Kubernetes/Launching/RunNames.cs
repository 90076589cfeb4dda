using System.Text.RegularExpressions;

namespace DistTrain.Kubernetes.Launching;

/// <summary>The names of the objects of one run in its namespace.</summary>
/// <param name="Run">The run's own name: the first word of every other.</param>
internal sealed partial record RunNames(string Run)
{
    /// <summary>The run of the base manifests.</summary>
    public static readonly RunNames Base = new("disttrain");

    /// <summary>The longest name: the others, which it begins, are names of services and values of labels.</summary>
    public const int MaxLength = 40;

    /// <summary>The label that says which program an object belongs to.</summary>
    public const string ProgramLabel = "app.kubernetes.io/name";

    /// <summary>The label that says which run it belongs to.</summary>
    public const string InstanceLabel = "app.kubernetes.io/instance";

    /// <summary>The label that says what it is of the run.</summary>
    public const string ComponentLabel = "app.kubernetes.io/component";

    /// <summary>Selects the objects of all runs.</summary>
    public const string AllRuns = ProgramLabel + "=disttrain";

    /// <summary>The coordinator's Job, Service, account, role and network policy; also the component's container.</summary>
    public string Coordinator => $"{Run}-coordinator";

    /// <summary>The workers' Deployment, account, role, network policy and disruption budget.</summary>
    public string Worker => $"{Run}-worker";

    /// <summary>The volume claim that holds the run's folder.</summary>
    public string Volume => $"{Run}-run";

    /// <summary>The ConfigMap with the run's configuration.</summary>
    public string Configuration => $"{Run}-configuration";

    /// <summary>Selects the objects of this run.</summary>
    public string Selector => $"{AllRuns},{InstanceLabel}={Run}";

    /// <summary>What is wrong with a run's name; null where it is one.</summary>
    public static string? Mistake(string name) => name.Length is > 0 and <= MaxLength && Name().IsMatch(name)
        ? null
        : $"--name is '{name}': must be at most {MaxLength} lower-case letters, digits and dashes, with a letter first and no dash last, such as digits-2.";

    /// <summary>A text of the base manifests, with every name of the base's run in it replaced.</summary>
    public string Rename(string text) => BaseName().Replace(text, found => $"{Run}-{found.Groups[1].Value}");

    [GeneratedRegex("^[a-z]([-a-z0-9]*[a-z0-9])?$")]
    private static partial Regex Name();

    // After two slashes it is a host, after one a part of a path.
    [GeneratedRegex("(?<![-.\\w])(?<![^/]/)disttrain-(coordinator|worker|run|configuration)(?![-\\w])")]
    private static partial Regex BaseName();
}
