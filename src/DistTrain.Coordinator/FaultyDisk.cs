using DistTrain.Protocol.Faults;

namespace DistTrain.Coordinator;

/// <summary>A disk that has no room while a fault says so: what is written then fails as it does on one that is full.</summary>
internal sealed class FaultyDisk(IDisk disk, FaultInjector faults) : IDisk
{
    /// <inheritdoc/>
    public Stream Open(string path, FileMode mode) => new FaultyStream(disk.Open(path, mode), path, faults);

    private sealed class FaultyStream(Stream inner, string path, FaultInjector faults) : Stream
    {
        public override bool CanRead => inner.CanRead;

        public override bool CanSeek => inner.CanSeek;

        public override bool CanWrite => inner.CanWrite;

        public override long Length => inner.Length;

        public override long Position
        {
            get => inner.Position;
            set => inner.Position = value;
        }

        public override void Flush() => Disk.Sync(inner);

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin) => inner.Seek(offset, origin);

        public override void SetLength(long value) => inner.SetLength(value);

        public override void Write(byte[] buffer, int offset, int count)
        {
            if (faults.IsDiskFull)
            {
                throw new IOException($"No space left on device : '{path}'");
            }

            inner.Write(buffer, offset, count);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                inner.Dispose();
            }

            base.Dispose(disposing);
        }
    }
}
