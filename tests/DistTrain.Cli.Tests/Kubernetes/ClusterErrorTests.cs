using System.Net;
using System.Net.Sockets;
using DistTrain.Kubernetes.Launching;
using DistTrain.TestKit.Kubernetes;
using k8s.Autorest;
using k8s.Exceptions;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Every way in which a cluster refuses, in a sentence with the remedy.</summary>
public sealed class ClusterErrorTests
{
    private static readonly ClusterCall Call = new("apply", "job.batch/digits-coordinator", "team", "https://10.0.0.1:6443");
    private static readonly ResourcePath Job = FakeCluster.PathOf("jobs.batch", "team", "digits-coordinator");
    private static readonly ResourcePath Pod = FakeCluster.PathOf("pods", "team", "digits-worker-x");

    public static TheoryData<StatusReply, string> Refusals => new()
    {
        {
            StatusReply.Unauthorized(),
            "The cluster at https://10.0.0.1:6443 does not know who you are (Unauthorized): your credentials have expired or are wrong. Log in again, or choose another --context."
        },
        {
            StatusReply.Forbidden("ada", "create", Job),
            "ada may not create jobs.batch in the namespace team, which is needed to apply job.batch/digits-coordinator: ask its administrator for a role that allows it "
            + "(kubectl auth can-i create jobs.batch --namespace team), or use another --namespace."
        },
        {
            StatusReply.Forbidden("ada", "create", Pod with { Subresource = "portforward" }),
            "ada may not create pods/portforward in the namespace team, which is needed to apply job.batch/digits-coordinator: ask its administrator for a role that allows it "
            + "(kubectl auth can-i create pods --subresource portforward --namespace team), or use another --namespace."
        },
        {
            StatusReply.NoNamespace("team"),
            "The namespace team does not exist: make it (kubectl create namespace team), or give another --namespace."
        },
        {
            StatusReply.NotFound(Job),
            "The cluster has no such object (apply job.batch/digits-coordinator): jobs.batch \"digits-coordinator\" not found."
        },
        {
            StatusReply.Refused(Pod, "exceeded quota: small, requested: limits.cpu=2,pods=1, used: limits.cpu=4,pods=3, limited: limits.cpu=4,pods=3"),
            "The quota small of the namespace team has no room: requested limits.cpu=2,pods=1, used limits.cpu=4,pods=3 of limits.cpu=4,pods=3. Have fewer workers (scale), "
            + "ask for less in the manifests, or have the quota raised (kubectl --namespace team describe quota)."
        },
        {
            StatusReply.Refused(Pod, "failed quota: gpus: must specify requests.nvidia.com/gpu for: worker"),
            "The quota gpus of the namespace team wants requests.nvidia.com/gpu for: worker to be stated for every container: add it to the manifests."
        },
        {
            StatusReply.Refused(Pod, "violates PodSecurity \"restricted:latest\": runAsNonRoot != true (pod or container \"worker\" must set securityContext.runAsNonRoot=true)"),
            "The namespace team enforces pod security \"restricted:latest\", which these pods violate: runAsNonRoot != true (pod or container \"worker\" must set "
            + "securityContext.runAsNonRoot=true). Correct that in the manifests, or use another namespace."
        },
        {
            StatusReply.Refused(Pod, "maximum memory usage per Container is 1Gi, but limit is 2Gi"),
            "A limit range of the namespace team refuses the pods: maximum memory usage per Container is 1Gi, but limit is 2Gi. Change the resources in the manifests "
            + "(kubectl --namespace team describe limitrange)."
        },
        {
            StatusReply.BadRequest("admission webhook \"validate.example\" denied the request: images come from registry.example only"),
            "The cluster's admission webhook validate.example refuses it: images come from registry.example only. Its rule is the cluster administrator's."
        },
        {
            new StatusReply(403, "Forbidden", "jobs.batch is forbidden: the node is on fire."),
            "The cluster does not admit job.batch/digits-coordinator: jobs.batch is forbidden: the node is on fire."
        },
        {
            StatusReply.Exists(Job),
            "job.batch/digits-coordinator exists in the namespace team already: jobs.batch \"digits-coordinator\" already exists."
        },
        {
            new StatusReply(409, "Conflict", "the object has been modified"),
            "job.batch/digits-coordinator was changed by somebody else at the same moment: the object has been modified. Try again."
        },
        {
            StatusReply.Invalid("Job", Job, "spec.template: Invalid value: core.PodTemplateSpec{}: field is immutable"),
            "job.batch/digits-coordinator exists in the namespace team and cannot be changed: Job.batch \"digits-coordinator\" is invalid: spec.template: Invalid value: "
            + "core.PodTemplateSpec{}: field is immutable. Delete it first, or use another name."
        },
        {
            StatusReply.Invalid("Job", Job, "spec.parallelism: Required value"),
            "The cluster refuses to apply job.batch/digits-coordinator: Job.batch \"digits-coordinator\" is invalid: spec.parallelism: Required value."
        },
        {
            StatusReply.UnknownField("Job", Job, ".spec.podFailurePolicy"),
            "This cluster's version does not know all fields of job.batch/digits-coordinator: failed to create typed patch object (team/digits-coordinator; batch/v1, Kind=Job): "
            + ".spec.podFailurePolicy: field not declared in schema. It is older than this program supports (1.25 or newer)."
        },
        {
            new StatusReply(503, "ServiceUnavailable", "etcdserver: leader changed"),
            "The cluster's API server at https://10.0.0.1:6443 cannot apply job.batch/digits-coordinator now (503: etcdserver: leader changed). Try again in a moment."
        },
    };

    [Theory]
    [MemberData(nameof(Refusals))]
    public void A_refusal_is_a_sentence_with_the_remedy(StatusReply reply, string sentence) =>
        Assert.Equal(sentence, ClusterErrors.Translate(Answer(reply.Code, reply.ToJson().ToJsonString()), Call).Message);

    [Theory]
    [InlineData(502, "<html><body>Bad gateway</body></html>", "The cluster's API server at https://10.0.0.1:6443 cannot apply job.batch/digits-coordinator now (502). Try again in a moment.")]
    [InlineData(404, "404 page not found\n", "The server at https://10.0.0.1:6443 is no Kubernetes API server, or one without job.batch/digits-coordinator: choose another --context.")]
    [InlineData(418, "", "The cluster refuses to apply job.batch/digits-coordinator: HTTP 418.")]
    [InlineData(401, "[1]", "The cluster at https://10.0.0.1:6443 does not know who you are (Unauthorized): your credentials have expired or are wrong. Log in again, or choose another --context.")]
    public void So_is_an_answer_of_a_server_that_is_none(int code, string body, string sentence) =>
        Assert.Equal(sentence, ClusterErrors.Translate(Answer(code, body), Call).Message);

    public static TheoryData<Exception, string> Breaks => new()
    {
        {
            new HttpRequestException("outer", new SocketException((int)SocketError.ConnectionRefused)),
            "The cluster's API server at https://10.0.0.1:6443 is not reached (Connection refused). Check that it runs and that this machine reaches it (kubectl cluster-info), "
            + "or choose another --context."
        },
        {
            new HttpRequestException("The SSL connection could not be established.", new System.Security.Authentication.AuthenticationException("UntrustedRoot.")),
            "The certificate of the API server at https://10.0.0.1:6443 is not trusted (UntrustedRoot). The kubeconfig is of another cluster, or an old one: fetch it anew."
        },
        {
            new System.Net.WebSockets.WebSocketException("The server returned status code '403' when status code '101' was expected."),
            "You may not apply job.batch/digits-coordinator in the namespace team: ask its administrator for a role that allows it "
            + "(kubectl auth can-i get pods --subresource portforward --namespace team)."
        },
        {
            new TimeoutException(),
            "The cluster's API server at https://10.0.0.1:6443 did not answer in time (apply job.batch/digits-coordinator). Check that it runs and that this machine reaches it "
            + "(kubectl cluster-info), or choose another --context."
        },
        {
            new KubeConfigException("external exec failed due to: no such program."),
            "The credentials of the kubeconfig cannot be used: external exec failed due to: no such program. Log in again, or choose another --context."
        },
    };

    [Theory]
    [MemberData(nameof(Breaks))]
    public void So_is_a_server_that_is_not_reached(Exception broken, string sentence)
    {
        Assert.True(ClusterErrors.IsExpected(broken));
        Assert.Equal(sentence, ClusterErrors.Translate(broken, Call).Message);
    }

    [Theory]
    [InlineData(401, ClusterFault.Unauthorized)]
    [InlineData(404, ClusterFault.NotFound)]
    [InlineData(422, ClusterFault.Invalid)]
    [InlineData(429, ClusterFault.Unreachable)]
    [InlineData(500, ClusterFault.Unreachable)]
    internal void The_kind_says_what_another_try_is_worth(int code, ClusterFault fault) =>
        Assert.Equal(fault, ClusterErrors.Translate(Answer(code, new StatusReply(code, "Why", "because").ToJson().ToJsonString()), Call).Fault);

    private static HttpOperationException Answer(int code, string body)
    {
        using var response = new HttpResponseMessage((HttpStatusCode)code);
        return new HttpOperationException("refused") { Response = new HttpResponseMessageWrapper(response, body) };
    }
}
