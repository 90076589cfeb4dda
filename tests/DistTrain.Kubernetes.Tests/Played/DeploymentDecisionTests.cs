using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Played;

/// <summary>The workers' Deployment and their disruption budget, as their controllers decide.</summary>
public sealed class DeploymentDecisionTests
{
    [Fact]
    public void Missing_pods_are_made_and_those_that_end_do_not_count()
    {
        var ending = PlayedPods.Worker("ending");
        ending.Metadata.DeletionTimestamp = DateTime.UnixEpoch;

        var step = DeploymentDecision.Next(Wanted(4), "new", [PlayedPods.Worker("a"), ending]);

        Assert.Equal((3, 0), (step.Create, step.Delete.Count));
    }

    [Fact]
    public void Too_many_go_in_order_unready_crowded_often_restarted_young()
    {
        V1Pod[] pods =
        [
            PlayedPods.Worker("old", node: "node-1", age: 9), PlayedPods.Worker("young", node: "node-2", age: 1), PlayedPods.Worker("restarted", node: "node-3", age: 9, restarts: 1),
            PlayedPods.Worker("crowded-old", node: "node-4", age: 9), PlayedPods.Worker("crowded-young", node: "node-4", age: 2), PlayedPods.Worker("unready", isReady: false, node: "node-5", age: 20),
        ];

        Assert.Equal(
            ["unready", "crowded-young", "crowded-old", "restarted", "young", "old"],
            DeploymentDecision.Next(Wanted(0), "new", pods).Delete.Select(p => p.Metadata.Name));
        Assert.Equal(["unready"], DeploymentDecision.Next(Wanted(5), "new", pods).Delete.Select(p => p.Metadata.Name));
    }

    [Fact]
    public void A_new_template_takes_one_pod_away_before_its_successor_comes()
    {
        V1Pod[] former = [PlayedPods.Worker("a", hash: "old"), PlayedPods.Worker("b", hash: "old"), PlayedPods.Worker("c", hash: "old")];

        var first = DeploymentDecision.Next(Wanted(3), "new", former);
        var second = DeploymentDecision.Next(Wanted(3), "new", former[..2]);
        var third = DeploymentDecision.Next(Wanted(3), "new", [.. former[..2], PlayedPods.Worker("d", isReady: false)]);

        Assert.Equal((0, 1), (first.Create, first.Delete.Count));
        Assert.Equal((1, 0), (second.Create, second.Delete.Count));
        Assert.Equal((0, 0), (third.Create, third.Delete.Count));
    }

    [Fact]
    public void The_budget_of_the_base_lets_every_worker_go_and_one_of_one_pod_only_the_first()
    {
        var pods = new[] { PlayedPods.Worker("a"), PlayedPods.Worker("b", isReady: false) };
        var budget = PlayedPods.Base.Of<V1PodDisruptionBudget>().Single();
        Assert.All(pods, pod => Assert.Null(Disruptions.Forbidding(pod, [budget], pods)));

        budget.Spec.MaxUnavailable = "1";

        Assert.Equal(budget.Metadata.Name, Disruptions.Forbidding(pods[0], [budget], pods));
        Assert.Null(Disruptions.Forbidding(PlayedPods.Coordinator(), [budget], pods));
    }

    private static V1DeploymentSpec Wanted(int replicas)
    {
        var spec = PlayedPods.Workers;
        spec.Replicas = replicas;
        return spec;
    }
}
