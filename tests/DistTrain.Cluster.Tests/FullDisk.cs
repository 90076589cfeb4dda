using DistTrain.Coordinator;

namespace DistTrain.Cluster.Tests;

/// <summary>A disk that is full when it is told to be, for some of its files or all: half of what is written arrives, then there is no room.</summary>
internal sealed class FullDisk : IDisk
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(1);
    private readonly TaskCompletionSource _free = new();
    private volatile Func<string, bool> _isFull = _ => false;
    private volatile Func<string, bool> _isHeld = _ => false;

    /// <summary>What the system says of a disk without room.</summary>
    public const string Message = "No space left on device";

    /// <summary>Chooses the files that there is no room for.</summary>
    public void Fill(Func<string, bool> isFull) => _isFull = isFull;

    /// <summary>Whether somebody waits for a file that is held.</summary>
    public TaskCompletionSource Waiting { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Makes the writes to some files wait.</summary>
    public void Hold(Func<string, bool> isHeld) => _isHeld = isHeld;

    /// <summary>Lets them go on, once and for all.</summary>
    public void Release() => _free.SetResult();

    public Stream Open(string path, FileMode mode) => new Limited(Disk.Instance.Open(path, mode), () => WaitAndSay(path));

    private bool WaitAndSay(string path)
    {
        if (_isHeld(path))
        {
            Waiting.TrySetResult();
            if (!_free.Task.Wait(Deadline))
            {
                throw new IOException($"{path} was held for {Deadline}.");
            }
        }

        return _isFull(path);
    }

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
