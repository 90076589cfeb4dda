using System.CommandLine;
using System.Text.RegularExpressions;
using DistTrain.Verbs;

namespace DistTrain.Kubernetes.InCluster;

/// <summary>The options by which a verb is told that it is a pod of a cluster.</summary>
internal static partial class ClusterOptions
{
    /// <summary>The option that names the workers' Deployment.</summary>
    /// <param name="description">What becomes of it.</param>
    public static Option<string?> ScaleDown(string description) => Named("--scale-down", "DEPLOYMENT", description);

    /// <summary>The option that names the coordinator's Job.</summary>
    public static Option<string?> Job(string description) => Named("--job", "JOB", description);

    private static Option<string?> Named(string name, string help, string description)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = help };
        option.Validators.Add(result =>
        {
            if (Common.Given(result) is not { Length: <= 253 } given || !ObjectName().IsMatch(given))
            {
                result.AddError($"{name} is '{Common.Given(result)}': must be an object's name in the cluster, of lower-case letters, digits, '-' and '.'.");
            }
        });
        return option;
    }

    [GeneratedRegex(@"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")]
    private static partial Regex ObjectName();
}
