using DistTrain.Core.Layouts;

namespace DistTrain.Core.Planning;

/// <summary>
/// What the direct exchange of a step moves: every worker sends each other one the slices of its cover nodes in that one's shard, and the sum of its own shard. The bytes of a worker
/// hardly depend on how many there are; the messages grow with their number.
/// </summary>
/// <param name="Workers">W, at least 1.</param>
/// <param name="VectorBytes">The exchange vector, at least 1.</param>
/// <param name="Nodes">Cover nodes of a worker, at least 1.</param>
public readonly record struct DirectExchange(int Workers, long VectorBytes, int Nodes = 1)
{
    /// <summary>Data of one message at most.</summary>
    public const int ChunkBytes = ShardTable.MaxChunkElements * sizeof(float);

    /// <summary>What a message carries beside its data: names and frames.</summary>
    public const int HeaderBytes = 80;

    /// <summary>Streams of a step: one for every ordered pair.</summary>
    public long Flows => Workers * (Workers - 1L);

    /// <summary>Connections that one worker has open: one to every other, and one from it.</summary>
    public int Connections => 2 * (Workers - 1);

    /// <summary>Messages that one worker sends in a step, and as many that it receives. A shard has one even where it is empty.</summary>
    public long Messages => (Workers - 1L) * (Nodes + 1) * ChunksOfShard;

    /// <summary>Bytes that one worker sends in a step, and as many that it receives.</summary>
    public long Bytes => (long)((Int128)VectorBytes * (Workers - 1) * (Nodes + 1) / Workers) + Messages * HeaderBytes;

    private long ChunksOfShard => Math.Max(1, ((VectorBytes + Workers - 1) / Workers + ChunkBytes - 1) / ChunkBytes);
}

/// <summary>What messages and bytes cost one worker, as measured.</summary>
/// <param name="SecondsPerMessage">Of a processor, to send one and to receive one.</param>
/// <param name="SecondsPerByte">To send one and to receive one, where that is the larger of a processor's time and the network's.</param>
public readonly record struct ExchangeCost(double SecondsPerMessage, double SecondsPerByte)
{
    /// <summary>
    /// gRPC, from two measurements that are not of the exchange itself: a coordinator's CPU for each of 1,000 workers a step, one message received and one sent with the decisions between
    /// (<c>scale</c> in <c>tests/DistTrain.Benchmarks</c>, 40 to 50 microseconds), and CPU seconds per byte of long streams between processes. Shared memory and TCP cost less of both.
    /// </summary>
    public static ExchangeCost Measured { get; } = new(40e-6, 2e-9);

    /// <summary>How long a worker is at its messages and bytes.</summary>
    public double Seconds(DirectExchange exchange) => exchange.Messages * SecondsPerMessage + exchange.Bytes * SecondsPerByte;

    /// <summary>
    /// Up to how many workers direct exchange holds: as long as the messages cost no more than the bytes, which any way of exchange has to move. Beyond it, workers would do better in
    /// groups.
    /// </summary>
    /// <param name="vectorBytes">The exchange vector.</param>
    /// <param name="most">Where to stop looking.</param>
    /// <returns>At least 1: a worker alone exchanges nothing.</returns>
    public int MostWorkers(long vectorBytes, int most = 4096)
    {
        // Messages grow with the workers and bytes do not, but for a shard that is one chunk fewer: the search is over the number of workers itself.
        for (var workers = 2; workers <= most; workers++)
        {
            var exchange = new DirectExchange(workers, vectorBytes);
            if (exchange.Messages * SecondsPerMessage > exchange.Bytes * SecondsPerByte)
            {
                return workers - 1;
            }
        }

        return most;
    }
}
