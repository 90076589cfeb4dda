using System.Globalization;
using System.Text.RegularExpressions;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>A container's environment and command, with every reference resolved.</summary>
internal static partial class ContainerEnvironment
{
    /// <summary>The variables of a container, in the order of its list: a later one may refer to an earlier one.</summary>
    /// <param name="container">The container.</param>
    /// <param name="pod">Its pod, with address and node.</param>
    /// <param name="configuration">The data of a ConfigMap by its name; null where there is none.</param>
    /// <exception cref="NotPlayedException">It asks for something that is not played.</exception>
    public static Dictionary<string, string> Of(V1Container container, V1Pod pod, Func<string, IDictionary<string, string>?> configuration)
    {
        var variables = new Dictionary<string, string>();
        foreach (var source in container.EnvFrom ?? [])
        {
            if (source.ConfigMapRef is not { } map)
            {
                throw new NotPlayedException("envFrom of anything but a ConfigMap");
            }

            foreach (var (key, value) in configuration(map.Name) ?? throw new NotPlayedException($"envFrom of the missing ConfigMap {map.Name}"))
            {
                variables[(source.Prefix ?? "") + key] = value;
            }
        }

        foreach (var variable in container.Env ?? [])
        {
            variables[variable.Name] = variable.ValueFrom switch
            {
                null => Expand(variable.Value ?? "", variables),
                { FieldRef: { } field } => Field(field.FieldPath, pod),
                { ResourceFieldRef: { } resource } => Resource(resource, container),
                { ConfigMapKeyRef: { } key } => configuration(key.Name)?[key.Key] ?? throw new NotPlayedException($"the missing ConfigMap {key.Name}"),
                _ => throw new NotPlayedException($"the source of the variable {variable.Name}"),
            };
        }

        return variables;
    }

    /// <summary><c>$(NAME)</c> becomes the variable's value; an unknown name stays as it is, and <c>$$</c> is a dollar.</summary>
    public static string Expand(string text, IReadOnlyDictionary<string, string> variables) => Reference().Replace(text, match =>
        match.Value == "$$" ? "$" : variables.TryGetValue(match.Groups[1].Value, out var value) ? value : match.Value);

    /// <summary>A field of the pod, as the downward API names it.</summary>
    public static string Field(string path, V1Pod pod)
    {
        if (Subscript().Match(path) is { Success: true } subscript)
        {
            var table = subscript.Groups[1].Value == "labels" ? pod.Metadata.Labels : pod.Metadata.Annotations;
            return table?.TryGetValue(subscript.Groups[2].Value, out var value) == true ? value : "";
        }

        return path switch
        {
            "metadata.name" => pod.Metadata.Name,
            "metadata.namespace" => pod.Metadata.NamespaceProperty,
            "metadata.uid" => pod.Metadata.Uid,
            "spec.nodeName" => pod.Spec.NodeName,
            "spec.serviceAccountName" => pod.Spec.ServiceAccountName ?? "default",
            "status.podIP" or "status.podIPs" => pod.Status.PodIP,
            "status.hostIP" or "status.hostIPs" => pod.Status.HostIP,
            _ => throw new NotPlayedException($"the field {path} of the downward API"),
        };
    }

    private static string Resource(V1ResourceFieldSelector selector, V1Container container)
    {
        var (kind, name) = selector.Resource.Split('.', 2) is [var first, var second] ? (first, second) : ("", "");
        var table = kind == "limits" ? container.Resources?.Limits : container.Resources?.Requests;
        if (table?.TryGetValue(name, out var quantity) != true)
        {
            throw new NotPlayedException($"the resource {selector.Resource}, which {container.Name} does not state");
        }

        var divisor = selector.Divisor is null ? 1m : selector.Divisor.ToDecimal();
        return Math.Ceiling(quantity!.ToDecimal() / (divisor == 0 ? 1m : divisor)).ToString(CultureInfo.InvariantCulture);
    }

    [GeneratedRegex(@"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)")]
    private static partial Regex Reference();

    [GeneratedRegex(@"^metadata\.(labels|annotations)\['([^']+)'\]$")]
    private static partial Regex Subscript();
}
