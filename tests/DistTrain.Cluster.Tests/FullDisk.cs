using DistTrain.Coordinator;

namespace DistTrain.Cluster.Tests;

/// <summary>A disk that is full when it is told to be, for some of its files or all: half of what is written arrives, then there is no room.</summary>
internal sealed class FullDisk : IDisk
{
    private volatile Func<string, bool> _isFull = _ => false;

    /// <summary>What the system says of a disk without room.</summary>
    public const string Message = "No space left on device";

    /// <summary>Chooses the files that there is no room for.</summary>
    public void Fill(Func<string, bool> isFull) => _isFull = isFull;

    public Stream Open(string path, FileMode mode) => new Limited(Disk.Instance.Open(path, mode), () => _isFull(path));

    private sealed class Limited(Stream inner, Func<bool> isFull) : Stream
    {
        public override bool CanRead => true;

        public override bool CanSeek => true;

        public override bool CanWrite => true;

        public override long Length => inner.Length;

        public override long Position { get => inner.Position; set => inner.Position = value; }

        public override void Flush() => Disk.Sync(inner);

        public override int Read(byte[] buffer, int offset, int count) => inner.Read(buffer, offset, count);

        public override long Seek(long offset, SeekOrigin origin) => inner.Seek(offset, origin);

        public override void SetLength(long value) => inner.SetLength(value);

        public override void Write(byte[] buffer, int offset, int count)
        {
            var isRefused = isFull();
            inner.Write(buffer, offset, isRefused ? count / 2 : count);
            if (isRefused)
            {
                throw new IOException(Message);
            }
        }

        protected override void Dispose(bool disposing)
        {
            inner.Dispose();
            base.Dispose(disposing);
        }
    }
}
