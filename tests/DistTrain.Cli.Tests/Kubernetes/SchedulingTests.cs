using DistTrain.Kubernetes.Launching;

namespace DistTrain.Cli.Tests.Kubernetes;

/// <summary>Why no node takes a pod, from the scheduler's own words.</summary>
public sealed class SchedulingTests
{
    [Theory]
    [InlineData(
        "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available: 3 No preemption victims found for incoming pod.",
        "No node takes it: 3 of 3 have too little cpu left. Have fewer workers (scale), or ask for less cpu.")]
    [InlineData(
        "0/3 nodes are available: 1 Insufficient cpu, 3 Insufficient memory.",
        "No node takes it: 1 of 3 have too little cpu left; 3 of 3 have too little memory left. Have fewer workers (scale), or ask for less cpu. Have fewer workers (scale), or ask for less memory.")]
    [InlineData(
        "0/2 nodes are available: 2 Insufficient nvidia.com/gpu. preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.",
        "No node takes it: 2 of 2 have no nvidia.com/gpu left, or none at all. Have fewer workers (scale), free GPUs that others hold, or check that the nodes' device plugin runs "
        + "(kubectl describe nodes).")]
    [InlineData(
        "0/4 nodes are available: 1 node(s) had untolerated taint {node-role.kubernetes.io/control-plane: }, 3 node(s) had volume node affinity conflict.",
        "No node takes it: 1 of 4 have the taint node-role.kubernetes.io/control-plane; 3 of 4 cannot reach the run's volume, which belongs to another node or zone. "
        + "Tolerate it in the manifests, or add other nodes. Make room where the volume is, or use a storage class that binds late (volumeBindingMode: WaitForFirstConsumer).")]
    [InlineData(
        "0/4 nodes are available: 2 node(s) didn't match Pod's node affinity/selector, 1 node(s) were unschedulable, 1 Too many pods.",
        "No node takes it: 2 of 4 are not of the kind that the pod asks for; 1 of 4 take no pods (cordoned); 1 of 4 hold as many pods as they may. "
        + "Check its nodeSelector and affinity against 'kubectl get nodes --show-labels'. Uncordon them, or add others. Have fewer workers (scale), or add nodes.")]
    [InlineData("0/1 nodes are available: 1 node(s) were cursed.", "No node takes it: 1 of 1 refuse it (node(s) were cursed).")]
    [InlineData("0/0 nodes are available: .", "No node takes it: the cluster has no nodes: add some, or wait for its autoscaler.")]
    [InlineData("no nodes available to schedule pods", "No node takes it: no nodes available to schedule pods.")]
    [InlineData(
        "0/1 nodes are available: pod has unbound immediate PersistentVolumeClaims. preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling.",
        "It waits for a volume: its claim is not bound yet (kubectl get pvc). Where the cluster has no default storage class, set storageClassName.")]
    [InlineData(
        "0/1 nodes are available: persistentvolumeclaim \"digits-run\" not found.",
        "It waits for the volume claim digits-run, which does not exist: launch the run anew (delete it, then launch).")]
    public void The_schedulers_words_become_a_sentence_with_the_remedy(string message, string sentence) => Assert.Equal(sentence, SchedulingWords.Of(message));
}
