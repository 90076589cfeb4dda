namespace DistTrain.Training.Data;

/// <summary>
/// Locks between the processes of a host, each a file. The system frees the lock of a process that dies; the empty file stays, since removing it would let two
/// processes hold two locks of one name.
/// </summary>
public static class FileLock
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(100);

    /// <summary>Takes a lock, waiting for whoever has it.</summary>
    /// <param name="path">The file; created where it is not there.</param>
    /// <param name="isShared">Whether others may have it, too, who want to share it.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellation">Ends the wait; every caller has a deadline.</param>
    /// <exception cref="IOException">The file cannot be made or opened, whoever has it.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be.</exception>
    public static async Task<FileStream> TakeAsync(string path, bool isShared, TimeProvider time, CancellationToken cancellation)
    {
        while (true)
        {
            if (TryTake(path, isShared) is { } taken)
            {
                return taken;
            }

            await Task.Delay(Poll, time, cancellation);
        }
    }

    /// <summary>Takes a lock that nobody has who does not share it; else null.</summary>
    /// <param name="path">The file; created where it is not there.</param>
    /// <param name="isShared">Whether others may have it, too, who want to share it.</param>
    /// <exception cref="IOException">The file cannot be made or opened, whoever has it.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be.</exception>
    public static FileStream? TryTake(string path, bool isShared)
    {
        try
        {
            return new FileStream(path, FileMode.OpenOrCreate, isShared ? FileAccess.Read : FileAccess.ReadWrite, isShared ? FileShare.ReadWrite : FileShare.None, bufferSize: 0);
        }
        catch (IOException refused) when (IsHeld(refused))
        {
            return null;
        }
    }

    /// <summary>Whether somebody has it, and not the disk is full or may not be written: the runtime passes on the system's EWOULDBLOCK of Linux or macOS, or Windows' sharing violation.</summary>
    private static bool IsHeld(IOException refused) => refused.HResult is 11 or 35 or unchecked((int)0x80070020);
}
