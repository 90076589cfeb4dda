using System.Diagnostics.CodeAnalysis;

namespace DistTrain.Core.Membership;

/// <summary>
/// The workers that were let in, by id. Those outside the generation stand apart as well: what concerns only them must not cost a look at every member, as each member's every report
/// asks for it.
/// </summary>
internal sealed class Roster
{
    private readonly SortedDictionary<int, Member> _all = [];
    private readonly SortedDictionary<int, Member> _outside = [];

    /// <summary>How many there are.</summary>
    public int Count => _all.Count;

    /// <summary>How often one of them was looked at: what decisions cost that grow with the number of workers.</summary>
    public long Looks { get; private set; }

    /// <summary>All of them.</summary>
    public IEnumerable<Member> Values => Each(_all);

    /// <summary>Those that do not train.</summary>
    public IEnumerable<Member> Outside => Each(_outside);

    /// <summary>One that is there.</summary>
    public Member this[int worker]
    {
        get
        {
            Looks++;
            return _all[worker];
        }
    }

    /// <summary>Adds one.</summary>
    public void Add(Member member)
    {
        _all.Add(member.Id, member);
        member.Moved = Place;
        Place(member);
    }

    /// <summary>Takes one out.</summary>
    public void Remove(int worker)
    {
        if (_all.Remove(worker, out var member))
        {
            member.Moved = null;
            _outside.Remove(worker);
        }
    }

    /// <summary>Whether one is there.</summary>
    public bool Contains(int worker) => _all.ContainsKey(worker);

    /// <summary>One that may be there.</summary>
    public bool TryGet(int worker, [NotNullWhen(true)] out Member? member)
    {
        Looks++;
        return _all.TryGetValue(worker, out member);
    }

    private IEnumerable<Member> Each(SortedDictionary<int, Member> members)
    {
        foreach (var member in members.Values)
        {
            Looks++;
            yield return member;
        }
    }

    private void Place(Member member)
    {
        if (member.Stage == Stage.Training)
        {
            _outside.Remove(member.Id);
        }
        else
        {
            _outside.TryAdd(member.Id, member);
        }
    }
}
