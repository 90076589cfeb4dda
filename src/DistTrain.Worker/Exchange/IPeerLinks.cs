using DistTrain.Core.Layouts;
using DistTrain.Core.Reduction;
using DistTrain.Training.Native;

namespace DistTrain.Worker.Exchange;

/// <summary>
/// How an all-reduce reaches the other ranks: the seam behind which transports differ. Calls queue and return at once; the memory they name stays as
/// it is until the operation is whole everywhere.
/// </summary>
internal interface IPeerLinks
{
    /// <summary>Sends a cover node's slice of every other rank's shard to that rank.</summary>
    void SendNode(ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader header, ShardTable shards);

    /// <summary>Sends a chunk of the own reduced shard to every other rank.</summary>
    void SendShardChunk(ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header);
}
