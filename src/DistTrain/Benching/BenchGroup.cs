using System.ComponentModel;
using System.Diagnostics;
using System.Globalization;

namespace DistTrain.Benching;

/// <summary>What one command cost a group of processes.</summary>
/// <param name="Milliseconds">The time of the slowest.</param>
/// <param name="CpuSeconds">Processor time of all.</param>
/// <param name="Allocated">Managed bytes that all allocated.</param>
internal readonly record struct BenchRun(double Milliseconds, double CpuSeconds, double Allocated)
{
    /// <summary>Adds up what the processes of a group answered; a process that counts less than all three leaves the rest away.</summary>
    public static BenchRun Of(IEnumerable<string> answers)
    {
        var numbers = answers.Select(a => a.Split(' ').Select(n => double.Parse(n, CultureInfo.InvariantCulture)).ToArray()).ToList();
        return new BenchRun(numbers.Max(n => n[0]), numbers.Sum(n => n.ElementAtOrDefault(1)), numbers.Sum(n => n.ElementAtOrDefault(2)));
    }
}

/// <summary>A process of a group did not do what it was told.</summary>
internal sealed class BenchException(string sentence) : Exception(sentence);

/// <summary>
/// Processes that measure something together: each is told by a line what to do, all at once, and answers by a line. They live by their standard input, so
/// none is left when this process ends, however it ends.
/// </summary>
internal sealed class BenchGroup : IAsyncDisposable
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(3);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(10);

    private readonly List<Process> _processes = [];
    private readonly List<Task<string>> _errors = [];
    private readonly string _name;

    private BenchGroup(string name) => _name = name;

    /// <summary>Starts the processes and tells each the first answers of all, which is how they find each other.</summary>
    /// <param name="name">What people call one of them.</param>
    /// <param name="programs">How each is started.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="BenchException">One of them did not start.</exception>
    public static async Task<BenchGroup> StartAsync(string name, IEnumerable<ProcessStartInfo> programs, CancellationToken cancellation)
    {
        var group = new BenchGroup(name);
        try
        {
            foreach (var program in programs)
            {
                (program.RedirectStandardInput, program.RedirectStandardOutput, program.RedirectStandardError) = (true, true, true);
                var process = Process.Start(program)!;
                group._processes.Add(process);
                group._errors.Add(process.StandardError.ReadToEndAsync(CancellationToken.None));
            }

            var hellos = await group.AnswersAsync(cancellation);
            await group.TellAsync(string.Join(' ', hellos));
            return group;
        }
        catch (Exception e)
        {
            await group.DisposeAsync();
            throw e is Win32Exception ? new BenchException($"A {name} cannot be started: {e.Message}") : e;
        }
    }

    /// <summary>Tells all of them the same and waits for all.</summary>
    /// <exception cref="BenchException">One of them ended, or said nothing in time.</exception>
    public async Task<IReadOnlyList<string>> AskAsync(string command, CancellationToken cancellation)
    {
        await TellAsync(command);
        return await AnswersAsync(cancellation);
    }

    /// <summary>Links all with all by a transport.</summary>
    /// <returns>Why that is not to be had; null where they are linked.</returns>
    public async Task<string?> LinkAsync(string transport, CancellationToken cancellation)
    {
        var answers = await AskAsync($"link {transport}", cancellation);
        return answers.FirstOrDefault(a => a != "linked")?.Split(' ', 2)[^1];
    }

    /// <summary>Has all do something so many times.</summary>
    public async Task<BenchRun> RunAsync(string transport, long bytes, int times, CancellationToken cancellation) =>
        BenchRun.Of(await AskAsync(string.Create(CultureInfo.InvariantCulture, $"run {transport} {bytes} {times}"), cancellation));

    /// <summary>Has all reduce so many times before it is measured, and look at every number of the last sum.</summary>
    public async Task WarmUpAsync(string transport, long bytes, int times, CancellationToken cancellation)
    {
        var size = bytes.ToString(CultureInfo.InvariantCulture);
        await AskAsync($"forget {size}", cancellation);
        await RunAsync(transport, bytes, times, cancellation);
        await AskAsync($"check {size}", cancellation);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.StandardInput.Close();
        }

        using var deadline = new CancellationTokenSource(LastWords);
        foreach (var process in _processes)
        {
            try
            {
                await process.WaitForExitAsync(deadline.Token);
            }
            catch (OperationCanceledException)
            {
                process.Kill(entireProcessTree: true);
            }

            process.Dispose();
        }
    }

    private async Task TellAsync(string line)
    {
        foreach (var process in _processes)
        {
            try
            {
                await process.StandardInput.WriteLineAsync(line);
                await process.StandardInput.FlushAsync();
            }
            catch (IOException)
            {
                // It has ended, which its answer says.
            }
        }
    }

    private async Task<IReadOnlyList<string>> AnswersAsync(CancellationToken cancellation)
    {
        // Where one fails, the others may wait for it in vain.
        var answers = _processes.Select((_, index) => AnswerAsync(index, cancellation)).ToList();
        await foreach (var answer in Task.WhenEach(answers))
        {
            await answer;
        }

        return [.. answers.Select(a => a.Result)];
    }

    private async Task<string> AnswerAsync(int index, CancellationToken cancellation)
    {
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(Patience);
        try
        {
            return await _processes[index].StandardOutput.ReadLineAsync(deadline.Token) ?? throw new BenchException(await LastWordsAsync(index));
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            throw new BenchException($"{Title(index)} said nothing for {Patience.TotalMinutes:0} minutes.");
        }
    }

    private async Task<string> LastWordsAsync(int index)
    {
        var errors = await _errors[index].WaitAsync(LastWords).ContinueWith(
            e => e.IsCompletedSuccessfully ? e.Result : "", CancellationToken.None, TaskContinuationOptions.None, TaskScheduler.Default);
        var last = errors.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries).LastOrDefault() ?? "";
        return $"{Title(index)} has ended before its time{(last.Length == 0 ? "" : $": {(last.StartsWith(Surroundings.ErrorPrefix, StringComparison.Ordinal) ? last[Surroundings.ErrorPrefix.Length..] : last)}")}";
    }

    private string Title(int index) => $"{char.ToUpperInvariant(_name[0])}{_name[1..]} {index}";
}
