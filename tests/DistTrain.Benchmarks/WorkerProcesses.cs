using System.Diagnostics;
using System.Globalization;

namespace DistTrain.Benchmarks;

/// <summary>The processes between which <see cref="Exchanging"/> measures: each is told by a line what to do, and all do it at once.</summary>
internal sealed class WorkerProcesses : IAsyncDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);
    private readonly List<Process> _processes = [];
    private bool _areIntroduced;

    public WorkerProcesses(int world)
    {
        for (var rank = 0; rank < world; rank++)
        {
            _processes.Add(Process.Start(new ProcessStartInfo("dotnet", [typeof(WorkerProcesses).Assembly.Location, "exchange-worker", $"{rank}", $"{world}"])
            {
                RedirectStandardInput = true,
                RedirectStandardOutput = true,
            })!);
        }
    }

    /// <summary>Links all with all.</summary>
    public async Task LinkAsync(string way)
    {
        if (!_areIntroduced)
        {
            var addresses = await Task.WhenAll(_processes.Select(AnswerAsync));
            await TellAsync(string.Join(' ', addresses));
            _areIntroduced = true;
        }

        await TellAsync($"link {way}");
        await Task.WhenAll(_processes.Select(AnswerAsync));
    }

    /// <summary>Has all do something so many times.</summary>
    /// <returns>The time of the slowest, and what all took of the processors and allocated.</returns>
    public async Task<(double Milliseconds, double Cpu, double Allocated)> RunAsync(string way, int size, int times)
    {
        await TellAsync($"run {way} {size} {times}");
        var answers = (await Task.WhenAll(_processes.Select(AnswerAsync)))
            .Select(a => a.Split(' ').Select(n => double.Parse(n, CultureInfo.InvariantCulture)).ToArray()).ToList();
        return (answers.Max(a => a[0]), answers.Sum(a => a[1]), answers.Sum(a => a[2]));
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var process in _processes)
        {
            process.StandardInput.Close();
        }

        foreach (var process in _processes)
        {
            using var deadline = new CancellationTokenSource(Deadline);
            await process.WaitForExitAsync(deadline.Token);
            process.Dispose();
        }
    }

    private async Task TellAsync(string line)
    {
        foreach (var process in _processes)
        {
            await process.StandardInput.WriteLineAsync(line);
        }
    }

    private static async Task<string> AnswerAsync(Process process)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        return await process.StandardOutput.ReadLineAsync(deadline.Token)
            ?? throw new InvalidOperationException("A worker has ended before its time; standard error says why.");
    }
}
