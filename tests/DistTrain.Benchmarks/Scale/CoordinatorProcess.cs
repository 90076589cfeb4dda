using System.Diagnostics;
using System.Text.Json;

namespace DistTrain.Benchmarks.Scale;

/// <summary><c>disttrain coordinator</c>, in a process of its own, watched through the kernel's books.</summary>
internal sealed class CoordinatorProcess : IDisposable
{
    private const double TicksPerSecond = 100;
    private readonly Process _process;

    private CoordinatorProcess(Process process, Uri address) => (_process, Address) = (process, address);

    /// <summary>Where it listens.</summary>
    public Uri Address { get; }

    /// <summary>CPU seconds so far.</summary>
    public double CpuSeconds
    {
        get
        {
            // After the name in parentheses: state, parent, ...; user and system time are fields 14 and 15 of the line.
            var stat = File.ReadAllText($"/proc/{_process.Id}/stat");
            var fields = stat[(stat.LastIndexOf(')') + 2)..].Split(' ');
            return (long.Parse(fields[11]) + long.Parse(fields[12])) / TicksPerSecond;
        }
    }

    /// <summary>Resident memory now, in MB.</summary>
    public double Megabytes => Status("VmRSS:");

    /// <summary>The most it ever was.</summary>
    public double PeakMegabytes => Status("VmHWM:");

    /// <summary>Starts one for a number of workers.</summary>
    public static async Task<CoordinatorProcess> StartAsync(string folder, int workers, params IEnumerable<string> settings)
    {
        var start = new ProcessStartInfo("dotnet") { RedirectStandardOutput = true };
        foreach (var argument in (string[])[Path.Combine(AppContext.BaseDirectory, "disttrain.dll"), "coordinator", "digits", "--listen", "127.0.0.1:0", "--json", "--out", folder])
        {
            start.ArgumentList.Add(argument);
        }

        foreach (var setting in settings.Prepend($"workers={workers}"))
        {
            start.ArgumentList.Add("--set");
            start.ArgumentList.Add(setting);
        }

        var process = Process.Start(start)!;
        try
        {
            var line = await process.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromMinutes(1))
                ?? throw new InvalidOperationException("disttrain coordinator ended before it listened.");
            var address = new Uri(JsonDocument.Parse(line).RootElement.GetProperty("listening").GetString()!);
            _ = process.StandardOutput.BaseStream.CopyToAsync(Stream.Null);
            return new CoordinatorProcess(process, address);
        }
        catch
        {
            process.Kill();
            throw;
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.WaitForExit();
        _process.Dispose();
    }

    private double Status(string name)
    {
        var line = File.ReadLines($"/proc/{_process.Id}/status").Single(l => l.StartsWith(name, StringComparison.Ordinal));
        return long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[^2].Trim()) / 1024.0;
    }
}
