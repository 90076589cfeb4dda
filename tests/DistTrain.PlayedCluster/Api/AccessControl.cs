using DistTrain.TestKit.Kubernetes;
using k8s.Models;

namespace DistTrain.PlayedCluster.Api;

/// <summary>One request, as the audit log of an API server has it: who, what, and whether it was let through.</summary>
internal sealed record AuditLine(string User, ClusterRequest Request, int? RefusedWith);

/// <summary>Lets requests through by their tokens and the roles in the namespace, and writes down all of them.</summary>
internal sealed class AccessControl(ClusterState state, Credentials credentials, Action<string> say)
{
    private const string Administrator = "administrator";

    private readonly List<AuditLine> _audit = [];

    /// <summary>Every request so far.</summary>
    public IReadOnlyList<AuditLine> Audit
    {
        get
        {
            lock (_audit)
            {
                return [.. _audit];
            }
        }
    }

    /// <summary>What was refused, in a line; empty where nothing was.</summary>
    public string Refused => string.Join(", ", Audit.Where(l => l.RefusedWith is not null));

    /// <summary>Whether an account has set the number of a deployment's pods.</summary>
    public bool HasScaled(string account) =>
        Audit.Any(l => l.User == account && l.RefusedWith is null && l.Request is { Verb: "patch" or "apply", Path: { Plural: "deployments", Subresource: "scale" } });

    /// <summary>Why a request is refused; null where it is not.</summary>
    public StatusReply? Refuse(ClusterRequest request)
    {
        var user = request.Token == credentials.AdministratorToken ? Administrator : credentials.AccountOf(request.Token);
        var refusal = user is null ? StatusReply.Unauthorized()
            : user == Administrator || (request.Path.Namespace == state.Space && IsAllowed(user, request)) ? null
            : StatusReply.Forbidden($"system:serviceaccount:{state.Space}:{user}", request.Verb, request.Path);
        lock (_audit)
        {
            _audit.Add(new(user ?? "nobody", request, refusal?.Code));
        }

        if (refusal is not null || request.Verb is not ("get" or "list" or "watch"))
        {
            say($"API: {user ?? "nobody"}: {request}{(refusal is null ? "" : $": {refusal.Code}")}");
        }

        return refusal;
    }

    private bool IsAllowed(string account, ClusterRequest request) =>
        Authorizer.Allows(Authorizer.RulesOf(account, state.Space, state.All<V1RoleBinding>(), state.All<V1Role>()), request);
}
