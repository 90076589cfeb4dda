using System.Diagnostics;
using System.Text;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>
/// A real process with everything it says. It and all it starts carry a mark in their environment, by which whatever is left of them is found.
/// </summary>
internal sealed class Command : IDisposable
{
    private const string Mark = "DISTTRAIN_TEST_MARK";
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);

    private readonly Process _process;
    private readonly string _mark = Guid.NewGuid().ToString("N");
    private readonly StringBuilder _seen = new();
    private readonly Task<string> _error;

    private Command(string program, IEnumerable<string> args, IReadOnlyDictionary<string, string>? environment = null)
    {
        var start = new ProcessStartInfo(Path.Combine(AppContext.BaseDirectory, program), args)
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment[Mark] = _mark;
        foreach (var (name, value) in environment ?? new Dictionary<string, string>())
        {
            start.Environment[name] = value;
        }

        _process = Process.Start(start)!;
        _error = _process.StandardError.ReadToEndAsync(Token);
    }

    /// <summary>Its process number.</summary>
    public int Id => _process.Id;

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    /// <summary>Starts the command <c>disttrain</c>.</summary>
    public static Command Start(params string[] args) => new("disttrain", args);

    /// <summary>Starts the command <c>disttrain</c> with variables of its own.</summary>
    public static Command Start(IReadOnlyDictionary<string, string> environment, params string[] args) => new("disttrain", args, environment);

    /// <summary>Starts a user's own program: this test executable, see <see cref="Program"/>.</summary>
    public static Command StartOwn(params string[] args) => new("DistTrain.Cli.Tests", args);

    /// <summary>Runs <c>disttrain</c> to its end.</summary>
    public static async Task<Ended> RunAsync(params string[] args)
    {
        using var command = Start(args);
        return await command.EndAsync();
    }

    /// <summary>Reads on to a line of its standard output that holds a text.</summary>
    public async Task<string> LineAsync(string text)
    {
        while (await _process.StandardOutput.ReadLineAsync(Token).AsTask().WaitAsync(Deadline, Token) is { } line)
        {
            _seen.Append(line).Append('\n');
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return line;
            }
        }

        throw new InvalidOperationException($"It ended and never said '{text}'. It said:\n{_seen}{await _error}");
    }

    /// <summary>Waits until something holds that no line tells of, such as that a process has been started.</summary>
    public static async Task WaitForAsync(Func<bool> holds)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(50));
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(Token);
        deadline.CancelAfter(Deadline);
        while (!holds())
        {
            await timer.WaitForNextTickAsync(deadline.Token);
        }
    }

    /// <summary>Sends a signal.</summary>
    public void Signal(string signal) => Signal(signal, Id);

    /// <summary>Sends a signal to a process of this command's.</summary>
    public static void Signal(string signal, int process)
    {
        using var kill = Process.Start("kill", [$"-{signal}", $"{process}"]);
        kill.WaitForExit();
    }

    /// <summary>The processes it started whose command lines hold a text, with the process that started them left out.</summary>
    public IReadOnlyList<int> Processes(string text = "")
    {
        var found = new List<int>();
        foreach (var folder in Directory.EnumerateDirectories("/proc").Where(f => int.TryParse(Path.GetFileName(f), out _)))
        {
            try
            {
                var id = int.Parse(Path.GetFileName(folder));
                if (id != Id && File.ReadAllText($"{folder}/environ").Contains($"{Mark}={_mark}\0", StringComparison.Ordinal)
                    && File.ReadAllText($"{folder}/cmdline").Replace('\0', ' ').Contains(text, StringComparison.Ordinal))
                {
                    found.Add(id);
                }
            }
            catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
            {
                // It ended, or is somebody else's.
            }
        }

        return found;
    }

    /// <summary>Waits for its end, and for the end of the processes it started.</summary>
    public async Task<Ended> EndAsync(IEnumerable<int>? children = null)
    {
        var rest = await _process.StandardOutput.ReadToEndAsync(Token).WaitAsync(Deadline, Token);
        await _process.WaitForExitAsync(Token).WaitAsync(Deadline, Token);
        foreach (var child in children ?? [])
        {
            try
            {
                using var process = Process.GetProcessById(child);
                await process.WaitForExitAsync(Token).WaitAsync(Deadline, Token);
            }
            catch (ArgumentException)
            {
                // It has ended.
            }
        }

        return new Ended(_process.ExitCode, _seen + rest, await _error, Processes());
    }

    public void Dispose()
    {
        foreach (var left in Processes())
        {
            Signal("KILL", left);
        }

        if (!_process.HasExited)
        {
            _process.Kill(entireProcessTree: true);
        }

        _process.Dispose();
    }
}

/// <summary>How a command ended.</summary>
/// <param name="Code">Its exit code.</param>
/// <param name="Out">Its standard output.</param>
/// <param name="Error">Its standard error.</param>
/// <param name="Left">Processes it left behind.</param>
internal sealed record Ended(int Code, string Out, string Error, IReadOnlyList<int> Left);
