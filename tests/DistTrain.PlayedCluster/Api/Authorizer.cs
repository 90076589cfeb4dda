using DistTrain.TestKit.Kubernetes;
using k8s.Models;

namespace DistTrain.PlayedCluster.Api;

/// <summary>Role-based access: what no rule allows is forbidden.</summary>
internal static class Authorizer
{
    /// <summary>Whether rules allow a request.</summary>
    public static bool Allows(IEnumerable<V1PolicyRule> rules, ClusterRequest request)
    {
        // To apply is to patch. A name that is not in the path, as of an object to be created, no rule can name.
        var verb = request.Verb == "apply" ? "patch" : request.Verb;
        var (plural, sub) = (request.Path.Plural, request.Path.Subresource);
        return rules.Any(rule =>
            Has(rule.Verbs, verb)
            && Has(rule.ApiGroups, request.Path.Group)
            && (Has(rule.Resources, sub.Length > 0 ? $"{plural}/{sub}" : plural) || (sub.Length > 0 && Has(rule.Resources, "*/" + sub)))
            && (rule.ResourceNames is not { Count: > 0 } || (request.Path.Name.Length > 0 && rule.ResourceNames.Contains(request.Path.Name))));
    }

    /// <summary>The rules that bindings of a namespace give to a service account.</summary>
    public static IEnumerable<V1PolicyRule> RulesOf(string account, string space, IEnumerable<V1RoleBinding> bindings, IEnumerable<V1Role> roles) =>
        from binding in bindings
        where binding.RoleRef.Kind == V1Role.KubeKind
            && binding.Subjects.Any(s => s.Kind == V1ServiceAccount.KubeKind && s.Name == account && (s.NamespaceProperty ?? space) == space)
        from role in roles
        where role.Metadata.Name == binding.RoleRef.Name
        from rule in role.Rules ?? []
        select rule;

    private static bool Has(IList<string>? list, string value) => list?.Any(entry => entry == value || entry == "*") == true;
}
