using System.Diagnostics;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Launching;

namespace DistTrain.Measuring;

/// <summary>
/// A process that measures what it is asked. torch is loaded there and nowhere else: a size that does not fit ends that process at most, and what torch never gives back goes with it.
/// </summary>
internal sealed class MeasuringProcess : IDisposable
{
    private const int Killed = 137;
    private static readonly TimeSpan EndDeadline = TimeSpan.FromSeconds(5);

    private readonly Process _process;
    private readonly TimeProvider _time;
    private readonly Task<string> _errors;

    private MeasuringProcess(Process process, TimeProvider time)
    {
        (_process, _time) = (process, time);
        _errors = LastLineAsync(process.StandardError);
    }

    /// <summary>Starts one.</summary>
    /// <param name="options">The run's configuration.</param>
    /// <param name="surroundings">The program, its environment and the clock.</param>
    public static MeasuringProcess Start(RunOptions options, Surroundings surroundings)
    {
        var start = new ProcessStartInfo(surroundings.Program.FileName, [.. surroundings.Program.Prefix, Verbs.MeasureVerb.Name])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };

        // As a launcher starts its workers: the configuration is resolved already, and no thread spins while it waits.
        foreach (var key in surroundings.Environment.Keys.Where(k => k.StartsWith(RunConfiguration.Prefix, StringComparison.Ordinal)))
        {
            start.Environment.Remove(key);
        }

        start.Environment.Remove(Supervision.Variable);
        start.Environment["OMP_NUM_THREADS"] = surroundings.Environment.GetValueOrDefault("OMP_NUM_THREADS", $"{options.Threads}");
        start.Environment["OMP_WAIT_POLICY"] = surroundings.Environment.GetValueOrDefault("OMP_WAIT_POLICY", "passive");
        var process = new Process { StartInfo = start };
        process.Start();
        return new MeasuringProcess(process, surroundings.Time);
    }

    /// <summary>Asks it, and waits for its answer.</summary>
    /// <param name="request">What is asked.</param>
    /// <param name="deadline">How long it may take.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="MeasureException">It says that it cannot, it ended, or it did not answer in time.</exception>
    public async Task<MeasureAnswer> AskAsync(MeasureRequest request, TimeSpan deadline, CancellationToken cancellation)
    {
        try
        {
            await _process.StandardInput.WriteLineAsync(MeasureLine.Write(request).AsMemory(), cancellation);
            await _process.StandardInput.FlushAsync(cancellation);
        }
        catch (IOException)
        {
            // It ended; what it says last says why.
        }

        while (true)
        {
            string? line;
            try
            {
                line = await _process.StandardOutput.ReadLineAsync(cancellation).AsTask().WaitAsync(deadline, _time, cancellation);
            }
            catch (TimeoutException)
            {
                throw new MeasureException($"The measuring process gave no answer within {Duration.Format(deadline)}: measure with a smaller batch.micro, or while the machine is less busy.");
            }

            if (line is null)
            {
                throw await EndedAsync(cancellation);
            }

            // A task may print lines of its own.
            if (MeasureLine.Read<MeasureAnswer>(line) is { } answer)
            {
                return answer.Error is null ? answer : throw new MeasureException(answer.Error) { IsShort = answer.IsShort };
            }
        }
    }

    /// <summary>Lets go of it, whereupon it ends at once.</summary>
    public void Dispose()
    {
        try
        {
            _process.Kill();
        }
        catch (Exception gone) when (gone is InvalidOperationException or System.ComponentModel.Win32Exception)
        {
            // It ended first.
        }

        _process.Dispose();
    }

    private async Task<MeasureException> EndedAsync(CancellationToken cancellation)
    {
        try
        {
            await _process.WaitForExitAsync(cancellation).WaitAsync(EndDeadline, _time, cancellation);
        }
        catch (TimeoutException)
        {
            return new MeasureException("The measuring process closed its output and did not end.");
        }

        return _process.ExitCode == Killed
            ? new MeasureException("The measuring process was killed, as the system does where memory is short: measure with a smaller batch.micro, or stop what else takes memory.") { IsShort = true }
            : new MeasureException($"The measuring process ended with exit code {_process.ExitCode}: {await _errors}");
    }

    private static async Task<string> LastLineAsync(StreamReader errors)
    {
        var last = "it said nothing.";
        while (await errors.ReadLineAsync() is { } line)
        {
            last = line.Trim().Length > 0 ? line.Trim() : last;
        }

        return last;
    }
}
