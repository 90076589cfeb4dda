using DistTrain.Kubernetes.Tests.Objects;
using DistTrain.Kubernetes.Tests.Policy;

namespace DistTrain.Kubernetes.Tests;

/// <summary>Every rule holds for the base and every overlay, and every rule finds what breaks it.</summary>
public sealed class PolicyTests
{
    public static TheoryData<string, string> RulesOfSets =>
        [.. from name in ManifestSet.Names from rule in Rule.All select (name, rule.Sentence)];

    public static TheoryData<string, string> Controls => [.. Control.All.Select(control => (control.Rule.Sentence, control.Finding))];

    [Theory]
    [MemberData(nameof(RulesOfSets))]
    public void The_policy_holds(string name, string sentence)
    {
        var rule = Rule.All.Single(r => r.Sentence == sentence);

        Assert.Empty(rule.Find(ManifestSet.Read(name)));
    }

    [Theory]
    [MemberData(nameof(Controls))]
    public void What_breaks_a_rule_is_found(string sentence, string says)
    {
        var control = Control.All.Single(c => c.Rule.Sentence == sentence && c.Finding == says);
        var set = ManifestSet.Read(control.Set);
        Assert.Empty(control.Rule.Find(set));

        control.Break(set);

        Assert.Contains(control.Rule.Find(set), finding => finding.Contains(control.Finding, StringComparison.Ordinal));
    }

    [Fact]
    public void Every_rule_has_a_control() =>
        Assert.Empty(Rule.All.Except(Control.All.Select(control => control.Rule)).Select(rule => rule.Sentence));

    [Fact]
    public void Rules_and_controls_are_told_apart()
    {
        Assert.Distinct(Rule.All.Select(rule => rule.Sentence));
        Assert.Distinct(Control.All.Select(control => (control.Rule.Sentence, control.Finding)));
    }
}
