using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>The restricted pod security standard, and a read-only root besides.</summary>
internal static class PodSecurity
{
    public static Rule NobodyIsRoot { get; } = Rule.OfContainers("no container runs as root", container =>
    {
        var (own, pod) = (container.Spec.SecurityContext, container.Pod.Spec.SecurityContext);
        return (own?.RunAsNonRoot ?? pod?.RunAsNonRoot) != true ? "runAsNonRoot is not set"
            : (own?.RunAsUser ?? pod?.RunAsUser) is not > 0 ? "runAsUser is no user but root"
            : null;
    });

    public static Rule NothingIsPrivileged { get; } = Rule.OfContainers("no container is privileged", container =>
        container.Spec.SecurityContext?.Privileged == true ? "is privileged" : null);

    public static Rule NothingOfTheHost { get; } = Rule.OfPods("no pod uses its host's namespaces, ports or files", pod =>
        pod.Spec.HostNetwork == true || pod.Spec.HostPID == true || pod.Spec.HostIPC == true ? "uses a namespace of the host"
        : pod.Spec.Containers.Any(c => c.Ports?.Any(p => p.HostPort is not null) == true) ? "takes a port of the host"
        : pod.Spec.Volumes?.FirstOrDefault(v => v is { ConfigMap: null, EmptyDir: null, PersistentVolumeClaim: null, Projected: null, Secret: null })
            is { } volume ? $"volume {volume.Name} is of no permitted kind"
        : null);

    public static Rule NoEscalation { get; } = Rule.OfContainers("no container may gain privileges", container =>
        container.Spec.SecurityContext?.AllowPrivilegeEscalation == false ? null : "allowPrivilegeEscalation is not false");

    public static Rule ReadOnlyRoot { get; } = Rule.OfContainers("the root file system of every container is read-only", container =>
        container.Spec.SecurityContext?.ReadOnlyRootFilesystem == true ? null : "readOnlyRootFilesystem is not set");

    public static Rule NoCapabilities { get; } = Rule.OfContainers("every container drops all capabilities and adds none", container =>
        container.Spec.SecurityContext?.Capabilities switch
        {
            { Add.Count: > 0 } => "adds capabilities",
            { Drop: ["ALL"] } => null,
            _ => "does not drop ALL capabilities",
        });

    public static Rule Seccomp { get; } = Rule.OfContainers("every container has the runtime's seccomp profile", container =>
        (container.Spec.SecurityContext?.SeccompProfile ?? container.Pod.Spec.SecurityContext?.SeccompProfile) is { Type: "RuntimeDefault" }
            ? null : "seccompProfile is not RuntimeDefault");

    public static Rule TokensWhereNeeded { get; } = new("a pod has a service account of its own, and its token exactly where a role is bound to it", set =>
        from pod in set.Pods
        let bound = set.Of<V1RoleBinding>().Any(binding => binding.Subjects.Any(s => s.Kind == "ServiceAccount" && s.Name == pod.Spec.ServiceAccountName))
        where pod.Spec.AutomountServiceAccountToken != bound || set.Find<V1ServiceAccount>(pod.Spec.ServiceAccountName) is not { AutomountServiceAccountToken: false }
        select $"{pod.Name}: automountServiceAccountToken is {pod.Spec.AutomountServiceAccountToken?.ToString() ?? "not set"}, "
            + $"account '{pod.Spec.ServiceAccountName}' {(bound ? "has a role" : "has no role")} or mounts its token everywhere");

    public static Rule NoServiceLinks { get; } = Rule.OfPods("no pod is told about Services that it does not use", pod =>
        pod.Spec.EnableServiceLinks == false ? null : "enableServiceLinks is not false");

    public static Rule SmallRoles { get; } = new("a role names the objects it is about, and no verb or resource by a star", set =>
        from role in set.Of<V1Role>()
        from rule in role.Rules
        let isCreate = rule.Verbs is ["create"]
        where rule.Verbs.Concat(rule.Resources).Concat(rule.ApiGroups).Contains("*") || rule.Resources.Contains("secrets")
            || (!isCreate && rule.ResourceNames is not { Count: > 0 })
        select $"Role {role.Metadata.Name}: {string.Join(",", rule.Verbs)} of {string.Join(",", rule.Resources)} is not limited");

    public static IReadOnlyList<Rule> Rules { get; } =
        [NobodyIsRoot, NothingIsPrivileged, NothingOfTheHost, NoEscalation, ReadOnlyRoot, NoCapabilities, Seccomp, TokensWhereNeeded, NoServiceLinks, SmallRoles];
}
