using System.Runtime.InteropServices;

namespace DistTrain.Coordinator;

/// <summary>How the run's files come to be: a test puts a disk in its place that is full.</summary>
internal interface IDisk
{
    /// <summary>Opens a file to write, unbuffered. Others may read it meanwhile.</summary>
    /// <exception cref="IOException">It cannot be written.</exception>
    Stream Open(string path, FileMode mode);
}

/// <summary>The disk there is, and what makes a file last on it.</summary>
internal sealed partial class Disk : IDisk
{
    private const int ReadOnly = 0;

    /// <summary>The one.</summary>
    public static Disk Instance { get; } = new();

    /// <inheritdoc/>
    public Stream Open(string path, FileMode mode) => new FileStream(path, mode, FileAccess.Write, FileShare.Read, bufferSize: 0);

    /// <summary>Returns when what was written is on the disk.</summary>
    public static void Sync(Stream file)
    {
        if (file is FileStream real)
        {
            real.Flush(flushToDisk: true);
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
        using (var file = disk.Open(temporary, FileMode.Create))
        {
            file.Write(content);
            Sync(file);
        }

        File.Move(temporary, path, overwrite: true);
        SyncFolder(Path.GetDirectoryName(Path.GetFullPath(path))!);
    }

    [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    private static partial int OpenFile(string path, int flags);

    [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
    private static partial int SyncFile(int file);

    [LibraryImport("libc", EntryPoint = "close", SetLastError = true)]
    private static partial int CloseFile(int file);
}
