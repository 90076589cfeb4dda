using DistTrain.PlayedCluster;
using DistTrain.PlayedCluster.Nodes;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Played;

/// <summary>What the played kubelet makes of a container's words.</summary>
public sealed class ContainerTests
{
    [Theory]
    [InlineData("http://$(POD_IP):5401", "http://10.0.0.1:5401")]
    [InlineData("$$(POD_IP)", "$(POD_IP)")]
    [InlineData("$(UNKNOWN) and $POD_IP", "$(UNKNOWN) and $POD_IP")]
    [InlineData("$(POD_IP)$(POD_IP)", "10.0.0.110.0.0.1")]
    public void References_become_values(string text, string expected) =>
        Assert.Equal(expected, ContainerEnvironment.Expand(text, new Dictionary<string, string> { ["POD_IP"] = "10.0.0.1" }));

    [Fact]
    public void The_variables_of_the_base_are_the_pods_own_facts()
    {
        var pod = PlayedPods.Worker("w", node: "node-3", address: "10.244.0.7");

        var variables = ContainerEnvironment.Of(pod.Spec.Containers[0], pod, _ => null);

        Assert.Equal(("10.244.0.7", "w", "training", "node-3"), (variables["POD_IP"], variables["POD_NAME"], variables["POD_NAMESPACE"], variables["NODE_NAME"]));
    }

    [Fact]
    public void A_later_variable_may_refer_to_an_earlier_one_only()
    {
        var pod = PlayedPods.Worker("w");
        pod.Spec.Containers[0].Env = [new V1EnvVar { Name = "A", Value = "$(B)1" }, new V1EnvVar { Name = "B", Value = "$(A)2" }];

        var variables = ContainerEnvironment.Of(pod.Spec.Containers[0], pod, _ => null);

        Assert.Equal(("$(B)1", "$(B)12"), (variables["A"], variables["B"]));
    }

    [Fact]
    public void What_is_not_played_is_said()
    {
        var pod = PlayedPods.Worker("w");
        pod.Spec.Containers[0].Env = [new V1EnvVar { Name = "A", ValueFrom = new V1EnvVarSource { SecretKeyRef = new V1SecretKeySelector { Name = "s", Key = "k" } } }];

        Assert.Throws<NotPlayedException>(() => ContainerEnvironment.Of(pod.Spec.Containers[0], pod, _ => null));
        Assert.Throws<NotPlayedException>(() => ContainerEnvironment.Field("status.startTime", pod));
    }

    [Fact]
    public void Processes_of_the_base_are_nobody_who_may_do_nothing()
    {
        var pod = PlayedPods.Coordinator();

        var identity = Identity.Of(pod.Spec.Containers[0], pod.Spec);

        Assert.Equal((65532, 65532, true, true, true), (identity.User, identity.Group, identity.NoNewPrivileges, identity.DropAll, identity.ReadOnlyRoot));
        Assert.Equal([65532], identity.Groups);
        pod.Spec.SecurityContext.RunAsUser = 0;
        Assert.Throws<NotPlayedException>(() => Identity.Of(pod.Spec.Containers[0], pod.Spec));
    }

    [Fact]
    public void Readiness_changes_after_as_many_results_in_a_row_as_are_asked_for()
    {
        var state = ProbeState.Failing;
        string Verdicts(string results, int successes, int failures) => string.Concat(results.Select(result =>
        {
            state = state.After(result == '+', successes, failures);
            return state.Passes ? '+' : '-';
        }));

        Assert.Equal("--++++--", Verdicts("-++-+---", 2, 2));
        state = ProbeState.Passing;
        Assert.Equal("+++++-", Verdicts("--+---", 1, 3));
    }

    [Fact]
    public void A_container_is_started_again_at_once_then_after_10_seconds_doubled_up_to_5_minutes()
    {
        Assert.Equal([0, 10, 20, 40, 80, 160, 300, 300], Enumerable.Range(0, 8).Select(n => BackOff.OfContainer(n).TotalSeconds));
        Assert.Equal([0, 10, 20, 40, 80, 160, 320, 600], Enumerable.Range(0, 8).Select(n => BackOff.OfJob(n).TotalSeconds));
    }

    [Fact]
    public void A_word_is_to_the_shell_what_it_is_here() => Assert.Equal("'it'\\''s $(x)'", Shell.Quote("it's $(x)"));
}
