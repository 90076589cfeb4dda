using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using System.Security.Authentication;
using System.Text.Json;
using System.Text.RegularExpressions;
using k8s.Autorest;
using k8s.Exceptions;

namespace DistTrain.Kubernetes.Launching;

/// <summary>The cluster's errors in a sentence with the remedy. Pure.</summary>
internal static partial class ClusterErrors
{
    /// <summary>Whether an exception is one that talking to a cluster may end with.</summary>
    public static bool IsExpected(Exception failure) => failure is HttpOperationException or HttpRequestException or IOException or SocketException
        or AuthenticationException or KubeConfigException or KubernetesClientException or TimeoutException or WebSocketException or JsonException;

    /// <summary>What a failure means.</summary>
    public static ClusterException Translate(Exception failure, ClusterCall call)
    {
        var (fault, sentence) = failure switch
        {
            HttpOperationException { Response: { } response } => OfAnswer(response.StatusCode, response.Content ?? "", call),
            TimeoutException => (ClusterFault.Unreachable,
                $"The cluster's API server at {call.Server} did not answer in time ({call.Verb} {call.What}). {Reach}"),
            KubeConfigException or KubernetesClientException => (ClusterFault.Configuration,
                $"The credentials of the kubeconfig cannot be used: {Trim(failure.Message)}. Log in again, or choose another --context."),
            _ when Inner<WebSocketException>(failure) is { } socket && Upgrade().Match(socket.Message) is { Success: true } upgrade =>
                OfUpgrade(int.Parse(upgrade.Groups[1].Value), call),
            _ when Inner<AuthenticationException>(failure) is { } untrusted => (ClusterFault.Unreachable,
                $"The certificate of the API server at {call.Server} is not trusted ({Trim(untrusted.Message)}). "
                + "The kubeconfig is of another cluster, or an old one: fetch it anew."),
            _ => (ClusterFault.Unreachable,
                $"The cluster's API server at {call.Server} is not reached ({Trim((Inner<SocketException>(failure) ?? failure).Message)}). {Reach}"),
        };
        return new ClusterException(fault, sentence, failure);
    }

    /// <summary>What a text of the cluster means that says why an object or a pod is kept out; null for a text of another kind. Also what events and conditions say.</summary>
    /// <param name="message">The cluster's words.</param>
    /// <param name="space">The namespace.</param>
    public static string? OfAdmission(string message, string space)
    {
        if (Quota().Match(message) is { Success: true } quota)
        {
            return $"The quota {quota.Groups[1].Value} of the namespace {space} has no room: requested {quota.Groups[2].Value}, used {quota.Groups[3].Value} of "
                + $"{quota.Groups[4].Value}. Have fewer workers (scale), ask for less in the manifests, or have the quota raised (kubectl --namespace {space} describe quota).";
        }

        if (MustSpecify().Match(message) is { Success: true } unspecified)
        {
            return $"The quota {unspecified.Groups[1].Value} of the namespace {space} wants {Trim(unspecified.Groups[2].Value)} to be stated for every container: "
                + "add it to the manifests.";
        }

        if (PodSecurity().Match(message) is { Success: true } security)
        {
            return $"The namespace {space} enforces pod security \"{security.Groups[1].Value}\", which these pods violate: {Trim(security.Groups[2].Value)}. "
                + "Correct that in the manifests, or use another namespace.";
        }

        if (LimitRange().Match(message) is { Success: true } limit)
        {
            return $"A limit range of the namespace {space} refuses the pods: {Trim(limit.Groups[1].Value)}. Change the resources in the manifests "
                + $"(kubectl --namespace {space} describe limitrange).";
        }

        if (Webhook().Match(message) is { Success: true } webhook)
        {
            return $"The cluster's admission webhook {webhook.Groups[1].Value} refuses it: {Trim(webhook.Groups[2].Value)}. "
                + "Its rule is the cluster administrator's.";
        }

        return Account().Match(message) is { Success: true } account
            ? $"The service account {account.Groups[1].Value} is missing in the namespace {space}: launch the run anew (delete it, then launch)."
            : null;
    }

    /// <summary>Cuts a text of somebody else so that it stands in a sentence.</summary>
    public static string Trim(string text) => text.ReplaceLineEndings(" ").Trim().TrimEnd('.', ',', ';', ' ');

    private const string Reach = "Check that it runs and that this machine reaches it (kubectl cluster-info), or choose another --context.";

    private static (ClusterFault Fault, string Sentence) OfAnswer(HttpStatusCode code, string body, ClusterCall call)
    {
        var (reason, message) = Status(body);
        return (int)code switch
        {
            401 => (ClusterFault.Unauthorized,
                $"The cluster at {call.Server} does not know who you are (Unauthorized): your credentials have expired or are wrong. Log in again, or choose another --context."),
            403 when Forbidden().Match(message) is { Success: true } forbidden => (ClusterFault.Forbidden, MayNot(forbidden, call)),
            404 when Namespace().Match(message) is { Success: true } space => (ClusterFault.NoNamespace,
                $"The namespace {space.Groups[1].Value} does not exist: make it (kubectl create namespace {space.Groups[1].Value}), or give another --namespace."),
            404 => (ClusterFault.NotFound, message.Length > 0 && message != "404 page not found"
                ? $"The cluster has no such object ({call.Verb} {call.What}): {Trim(message)}."
                : $"The server at {call.Server} is no Kubernetes API server, or one without {call.What}: choose another --context."),
            409 when reason == "AlreadyExists" => (ClusterFault.Invalid, $"{call.What} exists in the namespace {call.Namespace} already: {Trim(message)}."),
            409 => (ClusterFault.Other, $"{call.What} was changed by somebody else at the same moment: {Trim(message)}. Try again."),
            422 when message.Contains("field is immutable", StringComparison.Ordinal) => (ClusterFault.Invalid,
                $"{call.What} exists in the namespace {call.Namespace} and cannot be changed: {Trim(message)}. Delete it first, or use another name."),
            _ when OfAdmission(message, call.Namespace) is { } kept => (ClusterFault.Refused, kept),
            403 => (ClusterFault.Refused, $"The cluster does not admit {call.What}: {Trim(message)}."),
            400 or 500 when message.Contains("field not declared in schema", StringComparison.Ordinal) => (ClusterFault.Invalid,
                $"This cluster's version does not know all fields of {call.What}: {Trim(message)}. It is older than this program supports (1.25 or newer)."),
            429 or >= 500 => (ClusterFault.Unreachable,
                $"The cluster's API server at {call.Server} cannot {call.Verb} {call.What} now ({(int)code}{(message.Length > 0 ? ": " + Trim(message) : "")}). Try again in a moment."),
            _ => (ClusterFault.Invalid, $"The cluster refuses to {call.Verb} {call.What}: {(message.Length > 0 ? Trim(message) : $"HTTP {(int)code}")}."),
        };
    }

    /// <summary>A connection that was to become a WebSocket. Of a refusal the client keeps only the code.</summary>
    private static (ClusterFault Fault, string Sentence) OfUpgrade(int code, ClusterCall call) => code switch
    {
        403 => (ClusterFault.Forbidden,
            $"You may not {call.Verb} {call.What} in the namespace {call.Namespace}: ask its administrator for a role that allows it "
            + $"(kubectl auth can-i get pods --subresource portforward --namespace {call.Namespace})."),
        _ => OfAnswer((HttpStatusCode)code, "", call),
    };

    private static string MayNot(Match forbidden, ClusterCall call)
    {
        var (user, verb, resource, group) = (forbidden.Groups[1].Value, forbidden.Groups[2].Value, forbidden.Groups[3].Value, forbidden.Groups[4].Value);
        var (plural, sub) = resource.Split('/', 2) is [var whole, var part] ? (whole, part) : (resource, "");
        var named = $"{plural}{(group.Length > 0 ? "." + group : "")}{(sub.Length > 0 ? "/" + sub : "")}";
        var asked = $"{plural}{(group.Length > 0 ? "." + group : "")}{(sub.Length > 0 ? " --subresource " + sub : "")}";
        return $"{user} may not {verb} {named} in the namespace {call.Namespace}, which is needed to {call.Verb} {call.What}: ask its administrator for a role that "
            + $"allows it (kubectl auth can-i {verb} {asked} --namespace {call.Namespace}), or use another --namespace.";
    }

    /// <summary>A Status object's reason and message; of another text the text.</summary>
    private static (string Reason, string Message) Status(string body)
    {
        try
        {
            using var json = JsonDocument.Parse(body);
            return json.RootElement.ValueKind == JsonValueKind.Object ? (Text("reason"), Text("message")) : ("", body);

            string Text(string name) => json.RootElement.TryGetProperty(name, out var value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";
        }
        catch (JsonException)
        {
            // A proxy in front of the server answers with a page.
            return ("", body.Length <= 200 && !body.Contains('<') ? body.Trim() : "");
        }
    }

    private static T? Inner<T>(Exception failure)
        where T : Exception
    {
        for (var at = failure; at is not null; at = at.InnerException)
        {
            if (at is T found)
            {
                return found;
            }
        }

        return null;
    }

    [GeneratedRegex("status code '([0-9]{3})' when status code '101'")]
    private static partial Regex Upgrade();

    [GeneratedRegex("User \"([^\"]*)\" cannot (\\S+) resource \"([^\"]*)\" in API group \"([^\"]*)\"")]
    private static partial Regex Forbidden();

    [GeneratedRegex("^namespaces \"([^\"]*)\" not found")]
    private static partial Regex Namespace();

    [GeneratedRegex("exceeded quota: ([^,]+), requested: (.+?), used: (.+?), limited: (.+)$")]
    private static partial Regex Quota();

    [GeneratedRegex("failed quota: ([^:]+): must specify (.+)$")]
    private static partial Regex MustSpecify();

    [GeneratedRegex("violates PodSecurity \"([^\"]*)\": (.+)$")]
    private static partial Regex PodSecurity();

    [GeneratedRegex("is forbidden: ((?:maximum|minimum) .+ per (?:Container|Pod) is .+)$")]
    private static partial Regex LimitRange();

    [GeneratedRegex("admission webhook \"([^\"]*)\" denied the request: (.+)$", RegexOptions.Singleline)]
    private static partial Regex Webhook();

    [GeneratedRegex("error looking up service account \\S+?/(\\S+?): ")]
    private static partial Regex Account();
}
