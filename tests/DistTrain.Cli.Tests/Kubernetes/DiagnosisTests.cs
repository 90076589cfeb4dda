using k8s.Models;
using static DistTrain.Cli.Tests.Kubernetes.Observed;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>What keeps a run from going on, from its objects as clusters show them.</summary>
public sealed class DiagnosisTests
{
    [Theory]
    [InlineData(
        "ErrImagePull", "rpc error: code = NotFound desc = failed to pull and unpack image \\\"r.io/disttrain:9\\\": r.io/disttrain:9: not found",
        "The image r.io/disttrain:9 cannot be pulled: the registry has no such image: push it, or launch with another --image.")]
    [InlineData(
        "ErrImagePull", "failed to authorize: failed to fetch anonymous token: 401 Unauthorized: pull access denied, repository does not exist",
        "The image r.io/disttrain:9 cannot be pulled: the registry does not let the node have it, or does not know it: check its name, and give the namespace's service accounts an imagePullSecret.")]
    [InlineData(
        "ErrImagePull", "dial tcp: lookup r.io: no such host",
        "The image r.io/disttrain:9 cannot be pulled: the node does not reach the registry (dial tcp: lookup r.io: no such host): check the name of the registry and the node's network.")]
    [InlineData(
        "ImagePullBackOff", "Back-off pulling image \\\"r.io/disttrain:9\\\"",
        "The image r.io/disttrain:9 cannot be pulled: push it, load it into the cluster's nodes (kind load docker-image, minikube image load), or launch with another --image.")]
    [InlineData(
        "InvalidImageName", "couldn't parse image name",
        "The image 'r.io/disttrain:9' is no name of an image: delete the run and launch it with another --image. (final)")]
    [InlineData(
        "ErrImageNeverPull", "",
        "The image r.io/disttrain:9 is not on the node, and the pod says never to pull it: load it into the cluster's nodes, or set imagePullPolicy. (final)")]
    [InlineData(
        "CreateContainerConfigError", "configmap \\\"digits-configuration\\\" not found",
        "It waits for the configmap digits-configuration, which does not exist: launch the run anew (delete it, then launch).")]
    [InlineData("CreateContainerError", "no such device.", "Its container worker cannot be started: no such device.")]
    public void A_container_that_waits(string reason, string message, string sentence) => Assert.Equal(
        [$"pod/digits-worker-a: {sentence}"],
        Problems(Run(pods: [Pod("worker", "a", Container($"{{ waiting: {{ reason: {reason}, message: \"{message}\" }} }}"))])));

    [Fact]
    public void A_container_that_is_only_being_made_is_no_problem() =>
        Assert.Empty(Problems(Run(pods: [Pod("worker", "a", Container("{ waiting: { reason: ContainerCreating } }"))])));

    [Fact]
    public void A_crash_loop_has_the_containers_last_words() => Assert.Equal(
        ["pod/digits-worker-a: Its container worker fails again and again (4 times); the last time it ended with exit code 1. Its last words: This host computes other bits: use one kind of node."],
        Problems(Run(pods: [Pod("worker", "a", Container(
            "{ waiting: { reason: CrashLoopBackOff, message: back-off 40s } }",
            "{ terminated: { exitCode: 1, reason: Error, message: \"started\\nerror: This host computes other bits: use one kind of node.\\n\" } }", restarts: 4))])));

    [Fact]
    public void A_crash_loop_without_a_sentence_has_the_last_lines() => Assert.Equal(
        ["pod/digits-worker-a: Its container worker fails again and again (2 times); the last time it was ended by signal 11. Its last words: b / c / d"],
        Problems(Run(pods: [Pod("worker", "a", Container(
            "{ waiting: { reason: CrashLoopBackOff } }", "{ terminated: { exitCode: 139, reason: Error, message: \"a\\nb\\nc\\n\\nd\\n\" } }", restarts: 2))])));

    [Fact]
    public void Out_of_memory_names_the_limit() => Assert.Equal(
        [
            "pod/digits-worker-a: Its container worker fails again and again (3 times); the last time it was killed because it took more memory than its limit (OOMKilled). "
                + "Raise its memory limit, or lower batch.micro.",
            "pod/digits-worker-b: Its container worker was killed because it took more memory than its limit (OOMKilled) and was started again (1 times). "
                + "Raise its memory limit, or lower batch.micro.",
        ],
        Problems(Run(pods:
        [
            Pod("worker", "a", Container("{ waiting: { reason: CrashLoopBackOff } }", "{ terminated: { exitCode: 137, reason: OOMKilled } }", restarts: 3)),
            Pod("worker", "b", Container("{ running: {} }", "{ terminated: { exitCode: 137, reason: OOMKilled } }", restarts: 1, phase: "Running")),
        ])));

    [Fact]
    public void The_same_problem_of_several_pods_is_told_once()
    {
        const string status = "{ phase: Pending, conditions: [{ type: PodScheduled, status: \"False\", reason: Unschedulable, message: \"0/3 nodes are available: 3 Insufficient nvidia.com/gpu.\" }] }";
        Assert.Equal(
            ["2 pods of digits-worker: No node takes it: 3 of 3 have no nvidia.com/gpu left, or none at all. Have fewer workers (scale), free GPUs that others hold, "
                + "or check that the nodes' device plugin runs (kubectl describe nodes)."],
            Problems(Run(pods: [Pod("worker", "a", status), Pod("worker", "b", status)])));
    }

    [Fact]
    public void An_evicted_pod_says_why() => Assert.Equal(
        ["pod/digits-worker-a: It was evicted: The node was low on resource: memory. Another pod takes its place."],
        Problems(Run(pods: [Pod("worker", "a", "{ phase: Failed, reason: Evicted, message: \"The node was low on resource: memory. \" }")])));

    [Fact]
    public void A_configuration_that_the_coordinator_refuses_fails_the_run_for_good() => Assert.Equal(
        ["job.batch/digits-coordinator: The coordinator ended with exit code 2, and is not started again: another start would not mend it. Its last words: batch.global is 'x': must be a whole number. "
            + "Correct that, then delete the run and launch it anew. (final)"],
        Problems(Run(
            Job("{ failed: 1, conditions: [{ type: Failed, status: \"True\", reason: PodFailurePolicy, message: \"Container coordinator failed with exit code 2 matching FailJob rule at index 0\" }] }"),
            [Pod("coordinator", "a", Container("{ terminated: { exitCode: 2, reason: Error, message: \"error: batch.global is 'x': must be a whole number.\" } }", phase: "Failed", name: "coordinator"))])));

    [Fact]
    public void A_coordinator_that_failed_too_often_leaves_its_volume() => Assert.Equal(
        ["job.batch/digits-coordinator: The coordinator failed 7 times and is not started again; the last time it was killed because it took more memory than its limit (OOMKilled). "
            + "Raise its memory limit. Its volume is kept: delete the run, then launch it anew, and it goes on. (final)"],
        Problems(Run(
            Job("{ failed: 7, conditions: [{ type: Failed, status: \"True\", reason: BackoffLimitExceeded }] }"),
            [Pod("coordinator", "a", Container("{ terminated: { exitCode: 137, reason: OOMKilled } }", phase: "Failed", name: "coordinator"))])));

    [Fact]
    public void A_failed_coordinator_that_is_started_again_is_told_an_evicted_one_is_not()
    {
        var failed = Pod("coordinator", "a", Container("{ terminated: { exitCode: 1, reason: Error, message: \"error: No space left.\" } }", phase: "Failed", name: "coordinator"));
        var evicted = Pod("coordinator", "a", Container("{ terminated: { exitCode: 143, reason: Error } }", phase: "Failed", name: "coordinator"));
        Assert.Equal(["pod/digits-coordinator-a: The coordinator ended with exit code 1; the Job starts it again. Its last words: No space left."], Problems(Run(pods: [failed])));
        Assert.Empty(Problems(Run(pods: [evicted])));
    }

    [Fact]
    public void Only_the_newest_pod_of_the_coordinator_counts() => Assert.Empty(Problems(Run(pods:
    [
        Pod("coordinator", "a", Container("{ waiting: { reason: ErrImagePull } }")),
        Pod("coordinator", "b", Container("{ running: {} }", phase: "Running", name: "coordinator")),
    ])));

    [Fact]
    public void A_quota_is_told_for_the_coordinator_by_an_event_and_for_workers_by_the_deployment()
    {
        const string message = "Error creating: pods \"digits-x\" is forbidden: exceeded quota: small, requested: pods=1, used: pods=3, limited: pods=3";
        const string sentence = "The quota small of the namespace team has no room: requested pods=1, used pods=3 of pods=3. Have fewer workers (scale), ask for less in the manifests, "
            + "or have the quota raised (kubectl --namespace team describe quota).";
        Assert.Equal([$"job/digits-coordinator: {sentence}"], Problems(Run(events: [Event("Job", "digits-coordinator", "FailedCreate", message)])));
        Assert.Equal(
            [$"deployment.apps/digits-worker: {sentence}"],
            Problems(Run(workers: Object<V1Deployment>(
                $"metadata: {{ name: digits-worker }}\nspec: {{ selector: {{}}, template: {{}} }}\nstatus: {{ conditions: [{{ type: ReplicaFailure, status: \"True\", message: {System.Text.Json.JsonSerializer.Serialize(message)} }}] }}\n"))));
    }

    [Fact]
    public void Pod_security_that_refuses_the_coordinator_is_told() => Assert.Contains(
        "job/digits-coordinator: The namespace team enforces pod security \"restricted:latest\", which these pods violate: privileged (container \"coordinator\"). Correct that in the manifests, or use another namespace.",
        Problems(Run(events: [Event("Job", "digits-coordinator", "FailedCreate", "Error creating: pods \"x\" is forbidden: violates PodSecurity \"restricted:latest\": privileged (container \"coordinator\")")])));

    [Fact]
    public void An_old_event_counts_no_more_when_there_is_a_pod() => Assert.Empty(Problems(Run(
        pods: [Pod("coordinator", "a", Container("{ running: {} }", phase: "Running", name: "coordinator"))],
        events: [Event("Job", "digits-coordinator", "FailedCreate", "Error creating: no")])));

    [Theory]
    [InlineData(
        "FailedBinding", "no persistent volumes available for this claim and no storage class is set",
        "No volume fits the claim and the cluster has no default storage class: make one the default (kubectl get storageclass), or set storageClassName in the manifests.")]
    [InlineData(
        "ProvisioningFailed", "storageclass.storage.k8s.io \"fast\" not found",
        "The storage class of the claim does not exist (storageclass.storage.k8s.io \"fast\" not found): choose one of 'kubectl get storageclass'.")]
    [InlineData("ProvisioningFailed", "the disk quota is used up", "No volume is made for the claim: the disk quota is used up.")]
    public void A_claim_without_a_volume(string reason, string message, string sentence) => Assert.Equal(
        [$"persistentvolumeclaim/digits-run: {sentence}"],
        Problems(Run(
            volume: Object<V1PersistentVolumeClaim>("metadata: { name: digits-run }\nstatus: { phase: Pending }\n"),
            events: [Event("PersistentVolumeClaim", "digits-run", reason, message)])));

    [Fact]
    public void A_volume_that_another_node_holds_is_waited_for() => Assert.Equal(
        ["pod/digits-coordinator-a: Its volume is still attached to the node of the pod before it, and follows when that node lets go of it: some minutes, or until that node is back."],
        Problems(Run(
            pods: [Pod("coordinator", "a", Container("{ waiting: { reason: ContainerCreating } }", name: "coordinator"))],
            events: [Event("Pod", "digits-coordinator-a", "FailedAttachVolume", "Multi-Attach error for volume \"pvc-1\" Volume is already used by pod(s) x")])));

    [Fact]
    public void A_queue_that_holds_the_run_back_is_told() => Assert.Equal(
        ["job.batch/digits-coordinator: The Job is suspended: a queue has not admitted it yet, or somebody suspended it (spec.suspend)."],
        Problems(Run(Job(spec: "{ suspend: true, template: {} }"))));

    [Fact]
    public void A_run_that_is_completed_has_no_problems() => Assert.Empty(Problems(Run(
        Job("{ conditions: [{ type: Complete, status: \"True\" }] }"), [Pod("worker", "a", Container("{ waiting: { reason: ErrImagePull } }"))])));
}
