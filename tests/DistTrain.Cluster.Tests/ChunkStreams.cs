using DistTrain.Protocol.V1;
using Grpc.Core;

namespace DistTrain.Cluster.Tests;

/// <summary>Chunks as they come in from a call.</summary>
internal sealed class Arriving(IEnumerable<CheckpointChunk> chunks) : IAsyncStreamReader<CheckpointChunk>
{
    private readonly IEnumerator<CheckpointChunk> _chunks = chunks.GetEnumerator();

    public CheckpointChunk Current => _chunks.Current;

    public Task<bool> MoveNext(CancellationToken cancellationToken) => Task.FromResult(_chunks.MoveNext());
}

/// <summary>Chunks as they go out on a call.</summary>
internal sealed class Collected : IServerStreamWriter<CheckpointChunk>
{
    public List<CheckpointChunk> Chunks { get; } = [];

    public WriteOptions? WriteOptions { get; set; }

    public Task WriteAsync(CheckpointChunk message)
    {
        Chunks.Add(message);
        return Task.CompletedTask;
    }
}
