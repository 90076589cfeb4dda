using System.Buffers;
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using DistTrain.Protocol.Exchange;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>The numbers of payloads as memory that a socket takes, one payload after the other without an allocation.</summary>
internal sealed unsafe class NativeBytes : MemoryManager<byte>
{
    private byte* _start;
    private int _length;

    /// <summary>A payload's numbers. It lies in native or pinned memory, and stays alive while the memory is in use.</summary>
    public Memory<byte> Of(ChunkPayload payload)
    {
        _start = (byte*)Unsafe.AsPointer(ref MemoryMarshal.GetReference(payload.Values));
        _length = payload.Count * sizeof(float);
        return CreateMemory(_length);
    }

    /// <inheritdoc/>
    public override Span<byte> GetSpan() => new(_start, _length);

    /// <inheritdoc/>
    public override MemoryHandle Pin(int elementIndex = 0) => new(_start + elementIndex);

    /// <inheritdoc/>
    public override void Unpin()
    {
    }

    /// <inheritdoc/>
    protected override void Dispose(bool disposing)
    {
    }
}
