using System.Buffers;
using System.Collections.Concurrent;
using Microsoft.AspNetCore.Connections;

namespace DistTrain.Protocol.Hosting;

/// <summary>
/// Memory that a server reads sockets into and writes from, in blocks of 64 KiB. The server's own are of 4 KiB, so that a chunk of numbers takes 60 reads.
/// </summary>
public sealed class BlockPool : MemoryPool<byte>
{
    /// <summary>Bytes of a block.</summary>
    public const int BlockBytes = 64 << 10;

    /// <summary>What is kept of blocks that are not in use: 16 MiB, as much as a connection's windows let come in at once.</summary>
    private const int MostKept = 256;

    private readonly ConcurrentQueue<Block> _free = new();

    /// <inheritdoc/>
    public override int MaxBufferSize => BlockBytes;

    /// <inheritdoc/>
    public override IMemoryOwner<byte> Rent(int minBufferSize = -1)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(minBufferSize, BlockBytes);
        return _free.TryDequeue(out var block) ? block.Taken() : new Block(this);
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing) => _free.Clear();

    /// <summary>Gives every server of the process the one pool. A server that ends disposes it, which gives back what is not in use and leaves the rest as it is.</summary>
    public sealed class Factory : IMemoryPoolFactory<byte>
    {
        private static readonly BlockPool Shared = new();

        /// <inheritdoc/>
        public MemoryPool<byte> Create(MemoryPoolOptions? options = null) => Shared;
    }

    private sealed class Block(BlockPool pool) : IMemoryOwner<byte>
    {
        private readonly byte[] _bytes = GC.AllocateUninitializedArray<byte>(BlockBytes, pinned: true);
        private int _isFree;

        public Memory<byte> Memory => _bytes;

        public Block Taken()
        {
            Volatile.Write(ref _isFree, 0);
            return this;
        }

        public void Dispose()
        {
            if (Interlocked.Exchange(ref _isFree, 1) == 0 && pool._free.Count < MostKept)
            {
                pool._free.Enqueue(this);
            }
        }
    }
}
