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
    /// <summary>Sends chunks of a cover node to their owner, another rank.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="weightsHash">First half of the hash of the weights.</param>
    /// <param name="node">The node.</param>
    /// <param name="values">Its sums; only those of the chunks need be final.</param>
    /// <param name="header">Its header; where chunk 0 is among them.</param>
    /// <param name="shards">How the vector is cut.</param>
    /// <param name="owner">The rank.</param>
    /// <param name="chunks">Which chunks of its shard.</param>
    void SendNode(
        ulong operation, ulong weightsHash, NodeId node, NativeVector values, NodeHeader? header, ShardTable shards, int owner, Range chunks);

    /// <summary>Sends a chunk of the own reduced shard to every other rank.</summary>
    void SendShardChunk(ulong operation, int index, Chunk chunk, NativeVector reduced, ReadOnlyMemory<double> tileSquares, NodeHeader? header);
}
