using System.Text;
using DistTrain.Core.Journals;
using DistTrain.Protocol;

namespace DistTrain.Coordinator;

/// <summary>A journal that cannot be used, with the reason and the remedy.</summary>
internal sealed class JournalException(string sentence, Exception? cause = null) : Exception(sentence, cause)
{
    /// <summary>Whether the journal itself is at fault, and not who has it.</summary>
    public bool IsDamage => InnerException is null;
}

/// <summary>
/// What one coordinator at a time writes its decisions to, in <c>journal/journal.jsonl</c>: a line is on disk when <see cref="TryAppend"/> returns. The system
/// gives the lock back when the process ends, however it ends.
/// </summary>
internal sealed class Journal : IDisposable
{
    private const int LargestBytes = 1 << 28;

    private readonly FileStream _lock;
    private readonly Stream _file;
    private readonly List<string> _pending = [];
    private ulong _check;
    private long _whole;

    private Journal(FileStream @lock, Stream file, JournalContent content)
    {
        (_lock, _file, _check, _whole, Entries) = (@lock, file, content.Check, content.WholeBytes, content.Entries);
    }

    /// <summary>What it held when it was opened.</summary>
    public IReadOnlyList<JournalEntry> Entries { get; }

    /// <summary>Where a run's journal lies.</summary>
    public static string PathIn(string run) => Path.Combine(run, "journal", "journal.jsonl");

    /// <summary>Whether a coordinator has a run's journal at this moment.</summary>
    public static bool IsOwned(string run)
    {
        try
        {
            if (File.Exists(LockOf(run)))
            {
                using var free = new FileStream(LockOf(run), FileMode.Open, FileAccess.ReadWrite, FileShare.None);
            }

            return false;
        }
        catch (IOException e)
        {
            return IsHeld(e);
        }
    }

    /// <summary>Opens a run's journal, or begins one; a torn tail is cut off.</summary>
    /// <param name="run">The run's folder.</param>
    /// <param name="disk">Where the file is opened.</param>
    /// <exception cref="JournalException">Another coordinator has it, or it is damaged.</exception>
    public static Journal Open(string run, IDisk? disk = null)
    {
        var path = PathIn(run);
        Directory.CreateDirectory(Path.GetDirectoryName(path)!);
        var @lock = Lock(run);
        try
        {
            var file = (disk ?? Disk.Instance).Open(path, FileMode.OpenOrCreate);
            if (file.Length > LargestBytes)
            {
                throw new JournalException($"The journal {path} has {file.Length:N0} bytes: it is no journal of a run.");
            }

            var bytes = new byte[file.Length];
            file.ReadExactly(bytes);
            var content = JournalText.Read(bytes);
            if (content.DamagedLine is { } line)
            {
                throw new JournalException(
                    $"The journal {path} is damaged at line {line}, and lines follow: what was decided there is not guessed. Restore the file, or begin a new run from a checkpoint's weights.");
            }

            return new Journal(@lock, file, content);
        }
        catch
        {
            @lock.Dispose();
            throw;
        }
    }

    /// <summary>Appends an entry, with any that could not be written before.</summary>
    /// <returns>Whether it is on disk; else it is tried again with the next one.</returns>
    public bool TryAppend(JournalEntry entry, out string? problem)
    {
        _pending.Add(JournalText.Write(entry, ref _check));
        return TryWrite(out problem);
    }

    /// <summary>Writes what could not be written before.</summary>
    /// <returns>Whether everything is on disk.</returns>
    public bool TryWrite(out string? problem)
    {
        problem = null;
        if (_pending.Count == 0)
        {
            return true;
        }

        try
        {
            // A write that failed half-way is written over.
            var bytes = Encoding.UTF8.GetBytes(string.Concat(_pending));
            _file.SetLength(_whole);
            _file.Position = _whole;
            _file.Write(bytes);
            Disk.Sync(_file);
            _whole += bytes.Length;
            _pending.Clear();
            return true;
        }
        catch (Exception e) when (Disk.IsRefusal(e))
        {
            problem = Disk.Why(e);
            return false;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _file.Dispose();
        _lock.Dispose();
    }

    private static string LockOf(string run) => PathIn(run) + ".lock";

    private static FileStream Lock(string run)
    {
        try
        {
            return new FileStream(LockOf(run), FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
        }
        catch (IOException e) when (IsHeld(e))
        {
            throw new JournalException($"Another coordinator owns the run in {run}: end it first, or give this one another folder. ({e.Message})", e);
        }
    }

    /// <summary>
    /// Whether a file is somebody's, and not on a disk that may not be written: the runtime passes on the system's EWOULDBLOCK of Linux or macOS, or Windows' sharing violation.
    /// </summary>
    private static bool IsHeld(IOException refused) => refused.HResult is 11 or 35 or unchecked((int)0x80070020);
}
