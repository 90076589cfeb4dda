using System.Text.RegularExpressions;
using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>What a container is, has and says: image, resources, probes, arguments.</summary>
internal static partial class Containers
{
    public static Rule ImagesAreNamed { get; } = Rule.OfContainers("every image has a tag or digest, and never 'latest'", container =>
    {
        var image = container.Spec.Image ?? "";
        var name = image[(image.LastIndexOf('/') + 1)..];
        return image.Contains('@', StringComparison.Ordinal) ? null
            : name.IndexOf(':', StringComparison.Ordinal) < 1 ? $"image '{image}' has no tag"
            : name.EndsWith(":latest", StringComparison.Ordinal) || name.EndsWith(':') ? $"image '{image}' is whatever was pushed last"
            : null;
    });

    public static Rule PullsAreStated { get; } = Rule.OfContainers("every container says when its image is pulled, and not always", container =>
        container.Spec.ImagePullPolicy is "IfNotPresent" or "Never" ? null : "imagePullPolicy is neither IfNotPresent nor Never");

    public static Rule ResourcesAreSet { get; } = Rule.OfContainers("every container requests processor and memory, and is limited to no less", container =>
        new[] { "cpu", "memory" }.Select(resource =>
        {
            var request = Quantity(container.Spec.Resources?.Requests, resource);
            var limit = Quantity(container.Spec.Resources?.Limits, resource);
            return request is not > 0 ? $"requests no {resource}"
                : limit is not > 0 ? $"has no limit of {resource}"
                : limit < request ? $"requests more {resource} than its limit" : null;
        }).FirstOrDefault(wrong => wrong is not null));

    public static Rule DevicesAreWhole { get; } = Rule.OfContainers("a device is requested as it is limited", container =>
        (container.Spec.Resources?.Limits ?? new Dictionary<string, ResourceQuantity>()).Keys.Where(name => name.Contains('/', StringComparison.Ordinal))
            .FirstOrDefault(name => Quantity(container.Spec.Resources!.Limits, name) != Quantity(container.Spec.Resources.Requests, name))
            is { } device ? $"{device} differs between requests and limits" : null);

    public static Rule ProbesAreSet { get; } = Rule.OfContainers("coordinator and worker have all three probes, of the server that answers them", container =>
    {
        if (!container.RunsProgram || container.Spec.Args?.FirstOrDefault() is not ("coordinator" or "worker"))
        {
            return null;
        }

        var health = container.Spec.Ports?.SingleOrDefault(p => p.Name == "health")?.ContainerPort;
        return (from probe in new[] { ("startup", container.Spec.StartupProbe), ("ready", container.Spec.ReadinessProbe), ("live", container.Spec.LivenessProbe) }
                let get = probe.Item2?.HttpGet
                let wrong = get is null ? "is not asked" : get.Path != $"/{probe.Item1}" ? $"is asked at {get.Path}"
                    : health is null || (get.Port.ToString() != "health" && get.Port.ToString() != $"{health}") ? $"is asked at port {get.Port}, which is not the health port"
                    : container.Argument("--health")?.EndsWith($":{health}", StringComparison.Ordinal) != true ? $"is asked at {health}, but --health is {container.Argument("--health")}"
                    : null
                where wrong is not null
                select $"/{probe.Item1} {wrong}").FirstOrDefault();
    });

    public static Rule NoSecrets { get; } = new("no secret is in an environment value, an argument or a ConfigMap", set =>
    [
        .. from container in set.Containers
           from variable in container.Spec.Env ?? []
           where variable.Value is { Length: > 0 } value && (SecretName().IsMatch(variable.Name) || Secret().IsMatch(value))
           select $"{container.Name}: {variable.Name} looks like a secret",
        .. from container in set.Containers
           from word in container.Words
           where Secret().IsMatch(word) || SecretOption().IsMatch(word)
           select $"{container.Name}: an argument looks like a secret",
        .. from map in set.Of<V1ConfigMap>()
           from pair in map.Data ?? new Dictionary<string, string>()
           where Secret().IsMatch(pair.Value) || SecretLine().IsMatch(pair.Value)
           select $"ConfigMap {map.Metadata.Name}: {pair.Key} looks as if it held a secret",
    ]);

    public static Rule ArgumentsAreKnown { get; } = Rule.OfContainers("the program knows every option that a container gives it", container =>
        container.RunsProgram ? ProgramArguments.Problem([.. container.Spec.Args ?? []]) : null);

    public static Rule OnlyVolumesAreWritten { get; } = Rule.OfContainers("home, /tmp and the run's folder are volumes that may be written", container =>
        new[] { container.Spec.Env?.FirstOrDefault(e => e.Name == "HOME")?.Value, container.Argument("--out"), container.RunsProgram ? "/tmp" : null }
            .FirstOrDefault(path => path is not null && !(container.Spec.VolumeMounts ?? []).Any(m => m.ReadOnlyProperty != true && Below(path, m.MountPath)))
            is { } path ? $"{path} is in no volume that may be written" : null);

    public static IReadOnlyList<Rule> Rules { get; } =
        [ImagesAreNamed, PullsAreStated, ResourcesAreSet, DevicesAreWhole, ProbesAreSet, NoSecrets, ArgumentsAreKnown, OnlyVolumesAreWritten];

    /// <summary>Whether a path lies in a folder.</summary>
    public static bool Below(string path, string folder) =>
        path == folder || path.StartsWith(folder.TrimEnd('/') + "/", StringComparison.Ordinal);

    private static decimal? Quantity(IDictionary<string, ResourceQuantity>? of, string resource) =>
        of is not null && of.TryGetValue(resource, out var quantity) ? quantity.ToDecimal() : null;

    [GeneratedRegex("passw|secret|token|credential|api_?key|access_?key|private", RegexOptions.IgnoreCase)]
    private static partial Regex SecretName();

    [GeneratedRegex("^--[a-z-]*(password|secret|token)[a-z-]*=", RegexOptions.IgnoreCase)]
    private static partial Regex SecretOption();

    [GeneratedRegex(@"^\s*[\w.-]*(password|secret|token|credential|accessKey)\w*\s*:\s*\S", RegexOptions.IgnoreCase | RegexOptions.Multiline)]
    private static partial Regex SecretLine();

    // Private keys, tokens of well-known forms, and user:password in an address.
    [GeneratedRegex(@"-----BEGIN [A-Z ]*PRIVATE KEY|\bAKIA[0-9A-Z]{16}\b|\bgh[pousr]_\w{30,}|\bxox[abp]-|\beyJ[\w-]{10,}\.eyJ|://[^/\s:@]+:[^/\s@]+@")]
    private static partial Regex Secret();
}
