namespace DistTrain.Core.Membership;

/// <summary>A member as the others need to know it.</summary>
/// <param name="Worker">Its id.</param>
/// <param name="Address">Where they reach it.</param>
/// <param name="Number">Its number where a launcher gave one, else -1.</param>
public sealed record ListedMember(int Worker, string Address, int Number);

/// <summary>How a list of members comes from an earlier one: who stays keeps the order, who is new comes behind.</summary>
/// <param name="Generation">The generation whose list it gives.</param>
/// <param name="From">The generation whose list it goes out from; 0 for none: then it is the whole list.</param>
/// <param name="Gone">The ranks in that list of those who are gone, ascending.</param>
/// <param name="Came">Who comes behind those who stay, in order.</param>
public sealed record MembershipChange(ulong Generation, ulong From, IReadOnlyList<int> Gone, IReadOnlyList<ListedMember> Came);

/// <summary>
/// The members of a generation, by rank. A loss concerns one of them, so it is told as a change: of a thousand members the list has 36,000 bytes, and each of them would
/// be sent it.
/// </summary>
/// <param name="Generation">The generation; 0 for none.</param>
/// <param name="Members">By rank.</param>
public sealed record MemberList(ulong Generation, IReadOnlyList<ListedMember> Members)
{
    /// <summary>What a worker has that was told of no generation.</summary>
    public static MemberList None { get; } = new(0, []);

    /// <summary>How this list comes from an earlier one, whichever that is.</summary>
    public MembershipChange Since(MemberList earlier)
    {
        var gone = new List<int>();
        var staying = 0;
        for (var rank = 0; rank < earlier.Members.Count; rank++)
        {
            if (staying < Members.Count && Members[staying] == earlier.Members[rank])
            {
                staying++;
            }
            else
            {
                gone.Add(rank);
            }
        }

        return new MembershipChange(Generation, earlier.Generation, gone, [.. Members.Skip(staying)]);
    }

    /// <summary>The list that a change makes of this one; a whole one takes its place.</summary>
    /// <returns>Null where the change goes out from another list, or gives none: nobody guesses who the members are.</returns>
    public MemberList? With(MembershipChange change)
    {
        var from = change.From == 0 ? None : this;
        if (change.From != from.Generation || change.Generation <= Generation || !IsAscending(change.Gone, from.Members.Count))
        {
            return null;
        }

        var members = new List<ListedMember>(from.Members.Count - change.Gone.Count + change.Came.Count);
        var next = 0;
        for (var rank = 0; rank < from.Members.Count; rank++)
        {
            if (next < change.Gone.Count && change.Gone[next] == rank)
            {
                next++;
            }
            else
            {
                members.Add(from.Members[rank]);
            }
        }

        members.AddRange(change.Came);
        return members.Count > 0 && members.DistinctBy(m => m.Worker).Count() == members.Count ? new MemberList(change.Generation, members) : null;
    }

    private static bool IsAscending(IReadOnlyList<int> ranks, int end)
    {
        var least = 0;
        foreach (var rank in ranks)
        {
            if (rank < least || rank >= end)
            {
                return false;
            }

            least = rank + 1;
        }

        return true;
    }
}
