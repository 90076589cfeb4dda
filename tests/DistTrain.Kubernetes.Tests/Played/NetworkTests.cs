using System.Net;
using System.Text;
using DistTrain.PlayedCluster.Api;
using DistTrain.PlayedCluster.Network;
using DistTrain.TestKit.Kubernetes;
using k8s.Models;

namespace DistTrain.Kubernetes.Tests.Played;

/// <summary>What the played network and API server make of Services, policies and roles.</summary>
public sealed class NetworkTests
{
    [Fact]
    public void A_service_leads_to_ready_pods_and_refuses_without_one()
    {
        var service = Service();
        var ready = Rules([PlayedPods.Coordinator(), PlayedPods.Worker("w")], service);
        var unready = Rules([PlayedPods.Coordinator(isReady: false)], service);

        Assert.Contains("ip daddr 10.96.0.20 tcp dport 5400 dnat to 10.244.0.2:5400\n", ready, StringComparison.Ordinal);
        Assert.DoesNotContain("reject", ready, StringComparison.Ordinal);
        Assert.Contains("ct state new ip daddr 10.96.0.20 tcp dport 5400 reject", unready, StringComparison.Ordinal);
        Assert.DoesNotContain("dnat", unready, StringComparison.Ordinal);
    }

    [Fact]
    public void Each_of_several_endpoints_gets_its_share()
    {
        var rules = Rules([PlayedPods.Coordinator("a", address: "10.244.0.2"), PlayedPods.Coordinator("b", address: "10.244.0.3")], Service());

        Assert.Contains("numgen random mod 2 0 dnat to 10.244.0.2:5400\n", rules, StringComparison.Ordinal);
        Assert.Contains("dport 5400 dnat to 10.244.0.3:5400\n", rules, StringComparison.Ordinal);
    }

    [Fact]
    public void The_policies_of_the_base_let_workers_to_the_coordinator_and_nobody_else_to_workers()
    {
        var rules = Rules([PlayedPods.Coordinator(), PlayedPods.Worker("w")], Service()).Split('\n').Select(l => l.Trim()).ToList();
        string[] Chain(string name) => [.. rules.SkipWhile(l => l != $"chain {name} {{").Skip(1).TakeWhile(l => l != "}")];

        Assert.Equal(
            ["ip saddr { 10.244.0.9 } tcp dport 5400 accept", "ip saddr { 10.244.0.2, 10.244.0.9 } tcp dport 8080 accept", "drop"], Chain("pod-10-244-0-2"));
        Assert.Equal(
            ["ip saddr { 10.244.0.9 } tcp dport 5401 accept", "ip saddr { 10.244.0.2, 10.244.0.9 } tcp dport 8080 accept", "drop"], Chain("pod-10-244-0-9"));
        Assert.Contains("ip daddr 10.244.0.9 jump pod-10-244-0-9", rules);
    }

    [Theory]
    [InlineData("disttrain-coordinator", "patch deployments.apps/scale disttrain-worker", true)]
    [InlineData("disttrain-coordinator", "apply deployments.apps/scale disttrain-worker", true)]
    [InlineData("disttrain-coordinator", "patch deployments.apps/scale other", false)]
    [InlineData("disttrain-coordinator", "patch deployments.apps disttrain-worker", false)]
    [InlineData("disttrain-coordinator", "get jobs.batch disttrain-coordinator", false)]
    [InlineData("disttrain-worker", "get jobs.batch disttrain-coordinator", true)]
    [InlineData("disttrain-worker", "list jobs.batch ", false)]
    [InlineData("disttrain-worker", "create events ", true)]
    [InlineData("disttrain-worker", "list events ", false)]
    [InlineData("disttrain-worker", "delete pods w", false)]
    public void Roles_of_the_base_allow_what_the_program_asks_and_nothing_else(string account, string asked, bool isAllowed)
    {
        var set = PlayedPods.Base;
        var words = asked.Split(' ');
        var (resource, sub) = words[1].Split('/') is [var whole, var part] ? (whole, part) : (words[1], "");
        var request = new ClusterRequest(words[0], FakeCluster.PathOf(resource, "training", words[2]) with { Subresource = sub }, false, null, "", false);

        Assert.Equal(isAllowed, Authorizer.Allows(Authorizer.RulesOf(account, "training", set.Of<V1RoleBinding>(), set.Of<V1Role>()), request));
    }

    [Theory]
    [InlineData("coordinator.training.svc.cluster.local", 1, 0, "10.96.0.20")]
    [InlineData("COORDINATOR.training.svc.cluster.local", 1, 0, "10.96.0.20")]
    [InlineData("coordinator.training.svc.cluster.local", 28, 0, null)]
    [InlineData("coordinator", 1, 3, null)]
    public void A_name_has_an_address_or_does_not_exist(string name, int type, int code, string? address)
    {
        var server = new NameServer(asked => asked == "coordinator.training.svc.cluster.local" ? [IPAddress.Parse("10.96.0.20")] : null);
        byte[] question = [0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, .. name.Split('.').SelectMany(l => new[] { (byte)l.Length }.Concat(Encoding.ASCII.GetBytes(l))), 0, 0, (byte)type, 0, 1];

        var answer = server.Answer(question);

        Assert.NotNull(answer);
        Assert.Equal((0xAB, 0xCD, code), (answer[0], answer[1], answer[3] & 15));
        Assert.Equal(question[12..], answer[12..question.Length]);
        Assert.Equal(address is null ? 0 : 1, answer[7]);
        Assert.Equal(address, address is null ? null : new IPAddress(answer[^4..]).ToString());
    }

    [Fact]
    public void What_is_no_question_gets_no_answer()
    {
        var server = new NameServer(_ => null);

        Assert.Null(server.Answer([1, 2, 3]));
        Assert.Null(server.Answer([0xAB, 0xCD, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 63, 1]));
    }

    private static V1Service Service()
    {
        var service = PlayedPods.Base.Of<V1Service>().Single();
        service.Spec.ClusterIP = "10.96.0.20";
        return service;
    }

    private static string Rules(IReadOnlyList<V1Pod> pods, V1Service service) => Ruleset.Of("training", pods, [service], [.. PlayedPods.Base.Of<V1NetworkPolicy>()]);
}
