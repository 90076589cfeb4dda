using System.Runtime.InteropServices;

namespace DistTrain.Coordinator;

/// <summary>How the run's files come to be: a test puts a disk in its place that is full.</summary>
internal interface IDisk
{
    /// <summary>Opens a file to read and write, unbuffered. Others may read it meanwhile.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    Stream Open(string path, FileMode mode);
}

/// <summary>The disk there is, and what makes a file last on it.</summary>
internal sealed partial class Disk : IDisk
{
    private const int ReadOnly = 0;

    /// <summary>SIGXFSZ, the same on Linux and macOS.</summary>
    private const PosixSignal FileSizeExceeded = (PosixSignal)25;

    /// <summary>The one.</summary>
    public static Disk Instance { get; } = new();

    /// <inheritdoc/>
    public Stream Open(string path, FileMode mode) => new FileStream(path, mode, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);

    /// <summary>
    /// Until disposed, a file that meets the process's limit (<c>ulimit -f</c>) is refused like one on a full disk; otherwise the system ends the process. Null on Windows,
    /// which has no such limit.
    /// </summary>
    public static IDisposable? OutliveFileSizeLimit() =>
        OperatingSystem.IsWindows() ? null : PosixSignalRegistration.Create(FileSizeExceeded, signal => signal.Cancel = true);

    /// <summary>Whether an exception says that a disk does not take what is written to it, for whatever reason.</summary>
    public static bool IsRefusal(Exception exception) => exception is IOException or UnauthorizedAccessException || IsTooLarge(exception);

    /// <summary>Why a disk does not take what is written to it, without a full stop.</summary>
    public static string Why(Exception refusal) =>
        IsTooLarge(refusal) ? "The file would be larger than its file system or the process's limit (ulimit -f) allows" : refusal.Message.TrimEnd('.');

    /// <summary>Returns when what was written is on the disk. May be called while another thread writes.</summary>
    public static void Sync(Stream file)
    {
        if (file is FileStream real)
        {
            RandomAccess.FlushToDisk(real.SafeFileHandle);
        }
        else
        {
            file.Flush();
        }
    }

    /// <summary>
    /// Returns when the names in a folder are on the disk: a file that is synced can still be missing after a power cut if its name is not. Does nothing on Windows,
    /// which offers no such thing.
    /// </summary>
    /// <exception cref="IOException">The system could not.</exception>
    public static void SyncFolder(string path)
    {
        if (OperatingSystem.IsWindows())
        {
            return;
        }

        var folder = OpenFile(path, ReadOnly);
        var done = folder >= 0 ? SyncFile(folder) : -1;
        var error = Marshal.GetLastPInvokeError();
        if (folder >= 0)
        {
            _ = CloseFile(folder);
        }

        if (done < 0)
        {
            throw new IOException($"{path} cannot be synced: {Marshal.GetPInvokeErrorMessage(error)}");
        }
    }

    /// <summary>Writes a file that is there whole, or as it was before.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    public static void WriteWhole(IDisk disk, string path, ReadOnlySpan<byte> content)
    {
        var temporary = path + ".tmp";
        try
        {
            using (var file = disk.Open(temporary, FileMode.Create))
            {
                file.Write(content);
                Sync(file);
            }

            File.Move(temporary, path, overwrite: true);
        }
        catch (Exception e) when (IsRefusal(e))
        {
            File.Delete(temporary);
            throw;
        }

        SyncFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    /// <summary>EFBIG, which the runtime takes for a mistake of its caller.</summary>
    private static bool IsTooLarge(Exception exception) => exception is ArgumentOutOfRangeException { ParamName: "value" };

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int SyncFile(int file);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseFile(int file);
}
