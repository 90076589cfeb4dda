using System.Diagnostics;

namespace DistTrain.Launching;

/// <summary>A process of a local run: its output is filed, its standard input is the thread it hangs by.</summary>
internal sealed class ChildProcess : IDisposable
{
    private const int TailLines = 5;
    private static readonly TimeSpan OutputGrace = TimeSpan.FromSeconds(2);

    private readonly Process _process;
    private readonly Lock _gate = new();
    private readonly StreamWriter _log;
    private readonly Queue<string> _tail = new();
    private readonly Action<ChildProcess, string>? _heard;
    private readonly TaskCompletionSource<string?> _firstLine = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private bool _filing = true;

    private ChildProcess(string name, Process process, string log, Action<ChildProcess, string>? heard)
    {
        Name = name;
        LogPath = log;
        _process = process;
        _heard = heard;
        _log = new StreamWriter(new FileStream(log, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };
    }

    /// <summary>What people call it, such as <c>worker 1</c>.</summary>
    public string Name { get; }

    /// <summary>Its name at the head of a sentence.</summary>
    public string Title => char.ToUpperInvariant(Name[0]) + Name[1..];

    /// <summary>Where its output is filed.</summary>
    public string LogPath { get; }

    /// <summary>Its exit code, once it has ended and its output is filed.</summary>
    public Task<int> Exit { get; private set; } = Task.FromResult(0);

    /// <summary>The first line of its standard output; null where it ended without one.</summary>
    public Task<string?> FirstLine => _firstLine.Task;

    /// <summary>The process number.</summary>
    public int Id { get; private set; }

    /// <summary>Starts a process.</summary>
    /// <param name="name">What people call it.</param>
    /// <param name="command">How the program is started.</param>
    /// <param name="arguments">Verb and options.</param>
    /// <param name="environment">Variables on top of this process's; null removes one.</param>
    /// <param name="log">The file that takes its output.</param>
    /// <param name="time">The clock of its deadlines.</param>
    /// <param name="heard">Told of every line of its standard output.</param>
    public static ChildProcess Start(
        string name,
        ChildCommand command,
        IEnumerable<string> arguments,
        IReadOnlyDictionary<string, string?> environment,
        string log,
        TimeProvider time,
        Action<ChildProcess, string>? heard = null)
    {
        var start = new ProcessStartInfo(command.FileName, [.. command.Prefix, .. arguments])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (variable, value) in environment)
        {
            start.Environment[variable] = value;
        }

        var child = new ChildProcess(name, new Process { StartInfo = start }, log, heard);
        try
        {
            child._process.Start();
            child.Id = child._process.Id;
        }
        catch
        {
            child.Dispose();
            throw;
        }

        var output = child.FileAsync(child._process.StandardOutput, first: true);
        var errors = child.FileAsync(child._process.StandardError, first: false);
        child.Exit = child.EndAsync(Task.WhenAll(output, errors), time);
        return child;
    }

    /// <summary>Lets go of its standard input, which asks it to stop.</summary>
    public void Release()
    {
        try
        {
            _process.StandardInput.Close();
        }
        catch (Exception gone) when (gone is IOException or InvalidOperationException)
        {
            // It ended first, and may be forgotten already.
        }
    }

    /// <summary>Ends it and everything it started.</summary>
    public void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (Exception gone) when (gone is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // It ended first.
        }
    }

    /// <summary>Its last lines, for an error message.</summary>
    public IReadOnlyList<string> Tail()
    {
        lock (_gate)
        {
            return [.. _tail];
        }
    }

    /// <summary>What became of it: its own sentence where it left one, else its last words, which may be those of a library.</summary>
    /// <param name="what">What happened to it, as the rest of a sentence.</param>
    public string Describe(string what)
    {
        var tail = Tail();
        if (tail.LastOrDefault(l => l.StartsWith(Surroundings.ErrorPrefix, StringComparison.Ordinal)) is { } sentence)
        {
            return $"{Title} {what}: {sentence[Surroundings.ErrorPrefix.Length..]}";
        }

        return tail.Count == 0 || (Exit.IsCompleted && Exit.Result == ExitCodes.Killed)
            ? $"{Title} {what}; its log is {LogPath}."
            : $"{Title} {what}; its log {LogPath} ends:\n  {string.Join("\n  ", tail)}";
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            StopFiling();
        }

        _process.Dispose();
    }

    private async Task FileAsync(StreamReader output, bool first)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            if (first)
            {
                _firstLine.TrySetResult(line);
                _heard?.Invoke(this, line);
            }

            lock (_gate)
            {
                _tail.Enqueue(line);
                if (_tail.Count > TailLines)
                {
                    _tail.Dequeue();
                }

                File(line);
            }
        }

        if (first)
        {
            _firstLine.TrySetResult(null);
        }
    }

    /// <summary>Files a line. A disk that has no room takes the log, not the run: whether that can go on is the coordinator's to find out.</summary>
    private void File(string line)
    {
        if (_filing)
        {
            try
            {
                _log.WriteLine(line);
            }
            catch (IOException)
            {
                StopFiling();
            }
        }
    }

    private void StopFiling()
    {
        if (_filing)
        {
            _filing = false;
            try
            {
                _log.Dispose();
            }
            catch (IOException)
            {
                // What it still held has no room either.
            }
        }
    }

    private async Task<int> EndAsync(Task output, TimeProvider time)
    {
        await _process.WaitForExitAsync();
        try
        {
            await output.WaitAsync(OutputGrace, time);
        }
        catch (TimeoutException)
        {
            // Something it started still holds its output open; what is there is filed.
            _firstLine.TrySetResult(null);
        }

        return _process.ExitCode;
    }
}
