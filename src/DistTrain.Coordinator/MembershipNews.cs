using DistTrain.Core.Membership;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>
/// The members of a generation, as each of them is told: what has changed since the list that it has. Most have the same, so there is one message for them, encoded once.
/// </summary>
/// <param name="list">The members.</param>
/// <param name="encode">Makes a message ready to be sent to many.</param>
internal sealed class MembershipNews(MemberList list, Func<CoordinatorMessage, CoordinatorMessage> encode)
{
    private readonly Dictionary<ulong, CoordinatorMessage> _since = [];

    /// <summary>The members.</summary>
    public MemberList List => list;

    /// <summary>What a worker is told that was told an earlier list last, or none.</summary>
    public CoordinatorMessage Since(MemberList earlier)
    {
        lock (_since)
        {
            if (!_since.TryGetValue(earlier.Generation, out var message))
            {
                _since.Add(earlier.Generation, message = encode(new CoordinatorMessage { Membership = Wire.ToWire(list.Since(earlier)) }));
            }

            return message;
        }
    }
}
