using System.Text.Json.Nodes;
using k8s;
using k8s.Models;

namespace DistTrain.TestKit.Kubernetes;

/// <summary>The resources that the fake server serves, with the models that say which fields they have.</summary>
public static class ResourceKinds
{
    private static readonly Dictionary<string, (string Kind, Action<string> Check)> Known = new()
    {
        ["namespaces"] = Model<V1Namespace>(),
        ["pods"] = Model<V1Pod>(),
        ["services"] = Model<V1Service>(),
        ["serviceaccounts"] = Model<V1ServiceAccount>(),
        ["configmaps"] = Model<V1ConfigMap>(),
        ["persistentvolumeclaims"] = Model<V1PersistentVolumeClaim>(),
        ["events"] = Model<Corev1Event>(),
        ["nodes"] = Model<V1Node>(),
        ["deployments.apps"] = Model<V1Deployment>(),
        ["replicasets.apps"] = Model<V1ReplicaSet>(),
        ["jobs.batch"] = Model<V1Job>(),
        ["roles.rbac.authorization.k8s.io"] = Model<V1Role>(),
        ["rolebindings.rbac.authorization.k8s.io"] = Model<V1RoleBinding>(),
        ["networkpolicies.networking.k8s.io"] = Model<V1NetworkPolicy>(),
        ["poddisruptionbudgets.policy"] = Model<V1PodDisruptionBudget>(),
    };

    /// <summary>The kind of a resource; null for one that is not served.</summary>
    public static string? KindOf(ResourcePath path) => Known.TryGetValue(path.Qualified, out var known) ? known.Kind : null;

    /// <summary>Why an object does not fit its model, such as a field that is not known; null where it does.</summary>
    public static string? Mistake(ResourcePath path, JsonObject json)
    {
        try
        {
            Known[path.Qualified].Check(json.ToJsonString());
            return null;
        }
        catch (Exception wrong) when (wrong is YamlDotNet.Core.YamlException or FormatException or ArgumentException or InvalidCastException)
        {
            return wrong.InnerException?.Message is { } inner ? $"{wrong.Message} {inner}" : wrong.Message;
        }
    }

    // Every JSON text is YAML, whose reader refuses what a model has no member for.
    private static (string Kind, Action<string> Check) Model<T>()
        where T : IKubernetesObject =>
        (typeof(T).GetCustomAttributes(typeof(KubernetesEntityAttribute), false).Cast<KubernetesEntityAttribute>().Single().Kind,
            text => KubernetesYaml.Deserialize<T>(text, strict: true));
}
