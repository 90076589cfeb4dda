using System.Text.Json.Nodes;
using k8s;
using k8s.Models;

namespace DistTrain.Kubernetes.Launching;

/// <summary>How objects of one kind are applied and deleted: the client has a method of its own for each.</summary>
/// <param name="Kind">The kind, as manifests state it.</param>
/// <param name="Title">How sentences name it, as kubectl does.</param>
/// <param name="Apply">Applies an object: client, patch, name, namespace, whether only to try, token.</param>
/// <param name="Delete">Deletes an object: client, name, namespace, options, token.</param>
internal sealed record ObjectKind(
    string Kind, string Title,
    Func<IKubernetes, V1Patch, string, string, bool, CancellationToken, Task> Apply,
    Func<IKubernetes, string, string, V1DeleteOptions, CancellationToken, Task> Delete);

/// <summary>The kinds that a run is made of.</summary>
internal static class ObjectKinds
{
    private const string Strict = "Strict";

    private static readonly ObjectKind[] All =
    [
        new("ServiceAccount", "serviceaccount",
            (k, p, n, s, dry, t) => k.CoreV1.PatchNamespacedServiceAccountAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.CoreV1.DeleteNamespacedServiceAccountAsync(n, s, o, cancellationToken: t)),
        new("Role", "role.rbac.authorization.k8s.io",
            (k, p, n, s, dry, t) => k.RbacAuthorizationV1.PatchNamespacedRoleAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.RbacAuthorizationV1.DeleteNamespacedRoleAsync(n, s, o, cancellationToken: t)),
        new("RoleBinding", "rolebinding.rbac.authorization.k8s.io",
            (k, p, n, s, dry, t) => k.RbacAuthorizationV1.PatchNamespacedRoleBindingAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.RbacAuthorizationV1.DeleteNamespacedRoleBindingAsync(n, s, o, cancellationToken: t)),
        new("NetworkPolicy", "networkpolicy.networking.k8s.io",
            (k, p, n, s, dry, t) => k.NetworkingV1.PatchNamespacedNetworkPolicyAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.NetworkingV1.DeleteNamespacedNetworkPolicyAsync(n, s, o, cancellationToken: t)),
        new("ConfigMap", "configmap",
            (k, p, n, s, dry, t) => k.CoreV1.PatchNamespacedConfigMapAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.CoreV1.DeleteNamespacedConfigMapAsync(n, s, o, cancellationToken: t)),
        new("PersistentVolumeClaim", "persistentvolumeclaim",
            (k, p, n, s, dry, t) => k.CoreV1.PatchNamespacedPersistentVolumeClaimAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.CoreV1.DeleteNamespacedPersistentVolumeClaimAsync(n, s, o, cancellationToken: t)),
        new("Service", "service",
            (k, p, n, s, dry, t) => k.CoreV1.PatchNamespacedServiceAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.CoreV1.DeleteNamespacedServiceAsync(n, s, o, cancellationToken: t)),
        new("PodDisruptionBudget", "poddisruptionbudget.policy",
            (k, p, n, s, dry, t) => k.PolicyV1.PatchNamespacedPodDisruptionBudgetAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.PolicyV1.DeleteNamespacedPodDisruptionBudgetAsync(n, s, o, cancellationToken: t)),
        new("Job", "job.batch",
            (k, p, n, s, dry, t) => k.BatchV1.PatchNamespacedJobAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.BatchV1.DeleteNamespacedJobAsync(n, s, o, cancellationToken: t)),
        new("Deployment", "deployment.apps",
            (k, p, n, s, dry, t) => k.AppsV1.PatchNamespacedDeploymentAsync(p, n, s, Dry(dry), ClusterSession.Manager, Strict, force: true, cancellationToken: t),
            (k, n, s, o, t) => k.AppsV1.DeleteNamespacedDeploymentAsync(n, s, o, cancellationToken: t)),
    ];

    /// <summary>The kind of a name.</summary>
    public static ObjectKind Of(string kind) => All.Single(k => k.Kind == kind);

    /// <summary>Applies an object from the server's side. Fields that others have taken over are taken back: whoever launches a run states it whole.</summary>
    public static Task<bool> ApplyAsync(ClusterSession cluster, JsonObject manifest, bool onlyTry, CancellationToken cancellation) => cluster.AskAsync(
        "apply", RunManifests.Title(manifest), async (client, token) =>
        {
            var patch = new V1Patch(manifest.ToJsonString(), V1Patch.PatchType.ApplyPatch);
            await Of((string)manifest["kind"]!).Apply(client, patch, RunManifests.NameOf(manifest), cluster.Namespace, onlyTry, token);
            return true;
        }, cancellation);

    private static string? Dry(bool onlyTry) => onlyTry ? "All" : null;
}
