using CsCheck;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Membership;

/// <summary>Lists of members, told as changes of earlier ones.</summary>
public class MemberListTests
{
    [Fact]
    public void A_loss_among_a_thousand_is_one_number_and_who_comes_stands_behind()
    {
        var before = new MemberList(4, [.. Enumerable.Range(0, 1000).Select(Member)]);
        var after = new MemberList(5, [.. before.Members.Where(m => m.Worker != 700), Member(1000)]);
        var change = after.Since(before);
        Assert.Equal((5UL, 4UL), (change.Generation, change.From));
        Assert.Equal([700], change.Gone);
        Assert.Equal([Member(1000)], change.Came);
        Same(after, before.With(change));
    }

    [Fact]
    public void Who_was_told_nothing_is_told_all_and_so_is_who_forgot_it()
    {
        var list = List(3, 1, 0, 2);
        var whole = list.Since(MemberList.None);
        Assert.Equal(0UL, whole.From);
        Assert.Empty(whole.Gone);
        Assert.Equal(list.Members, whole.Came);
        Same(list, MemberList.None.With(whole));
        Same(list, List(2, 7, 8).With(whole));
    }

    [Fact]
    public void A_member_that_is_reached_elsewhere_is_another_one()
    {
        var (before, after) = (List(1, 0, 1), new MemberList(2, [Member(0), Member(1) with { Address = "http://other:1" }]));
        Assert.Equal([1], after.Since(before).Gone);
        Same(after, before.With(after.Since(before)));
    }

    /// <summary>Also where the ranks were drawn anew, as when the run has begun again.</summary>
    [Fact]
    public void Whatever_came_in_between_the_list_is_the_same_for_all() =>
        Gen.Select(Gen.Int[0, 12].Array[0, 12], Gen.Int[0, 12].Array[1, 12]).Always((earlier, later) =>
        {
            var (before, after) = (List(6, [.. earlier.Distinct()]), List(9, [.. later.Distinct()]));
            Same(after, before.With(after.Since(before)));
        }, samples: 1000);

    [Theory]
    [InlineData("another list")]
    [InlineData("a list that comes after it")]
    [InlineData("the generation before")]
    [InlineData("the same generation")]
    [InlineData("a rank that is not there")]
    [InlineData("a rank twice")]
    [InlineData("a rank below the first")]
    [InlineData("a member twice")]
    [InlineData("nobody")]
    [InlineData("gone from nothing")]
    public void What_does_not_fit_is_refused(string what)
    {
        var change = new MembershipChange(8, 7, [1], [Member(5)]);
        Same(List(8, 0, 2, 5), List(7, 0, 1, 2).With(change));
        Assert.Null(List(7, 0, 1, 2).With(what switch
        {
            "another list" => change with { From = 6 },
            "a list that comes after it" => change with { From = 8 },
            "the generation before" => change with { Generation = 6 },
            "the same generation" => change with { Generation = 7 },
            "a rank that is not there" => change with { Gone = [1, 3] },
            "a rank twice" => change with { Gone = [1, 1] },
            "a rank below the first" => change with { Gone = [-1] },
            "a member twice" => change with { Came = [Member(2)] },
            "nobody" => change with { Gone = [0, 1, 2], Came = [] },
            _ => change with { From = 0 },
        }));
    }

    private static void Same(MemberList expected, MemberList? list)
    {
        Assert.NotNull(list);
        Assert.Equal(expected.Generation, list.Generation);
        Assert.Equal(expected.Members, list.Members);
    }

    private static MemberList List(ulong generation, params int[] workers) => new(generation, [.. workers.Select(Member)]);

    private static ListedMember Member(int worker) => new(worker, $"http://host{worker}:1", worker);
}
