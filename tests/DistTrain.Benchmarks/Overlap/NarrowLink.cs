using System.Diagnostics;

namespace DistTrain.Benchmarks.Overlap;

/// <summary>Two network namespaces and a cable between them that carries so much and no more, each way. Needs root and iproute2. It ends with its scope, or with the next one that is made.</summary>
internal sealed class NarrowLink : IDisposable
{
    private const string Cable = "veth-overlap";

    private NarrowLink()
    {
    }

    /// <summary>Makes them.</summary>
    /// <param name="rate">What the cable carries, in tc's words.</param>
    /// <exception cref="InvalidOperationException">The system refuses.</exception>
    public static NarrowLink Create(string rate)
    {
        var link = new NarrowLink();
        link.Dispose();
        try
        {
            Ip("netns", "add", SpaceOf(0));
            Ip("netns", "add", SpaceOf(1));
            Ip("-n", SpaceOf(0), "link", "add", Cable, "type", "veth", "peer", "name", Cable, "netns", SpaceOf(1));
            for (var end = 0; end < 2; end++)
            {
                Ip("-n", SpaceOf(end), "address", "add", $"{AddressOf(end)}/24", "dev", Cable);
                Ip("-n", SpaceOf(end), "link", "set", "lo", "up");
                Ip("-n", SpaceOf(end), "link", "set", Cable, "up");
                Run("tc", "-n", SpaceOf(end), "qdisc", "add", "dev", Cable, "root", "tbf", "rate", rate, "burst", "256kb", "latency", "20ms");
            }
        }
        catch
        {
            link.Dispose();
            throw;
        }

        return link;
    }

    /// <summary>The address of an end.</summary>
    public static string AddressOf(int end) => $"10.213.7.{end + 1}";

    /// <summary>Has a process run at an end.</summary>
    public static ProcessStartInfo At(int end, ProcessStartInfo program) =>
        new("ip", ["netns", "exec", SpaceOf(end), program.FileName, .. program.ArgumentList]);

    /// <inheritdoc/>
    public void Dispose()
    {
        for (var end = 0; end < 2; end++)
        {
            Try("ip", "netns", "delete", SpaceOf(end));
        }
    }

    private static string SpaceOf(int end) => $"disttrain-overlap-{end}";

    private static void Ip(params string[] arguments) => Run("ip", arguments);

    private static void Run(string program, params string[] arguments)
    {
        if (Try(program, arguments) is { Length: > 0 } error)
        {
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {error} Run this as root, with iproute2 and the kernel's sch_tbf and veth.");
        }
    }

    /// <returns>What went wrong; empty for nothing.</returns>
    private static string Try(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true, RedirectStandardOutput = true })!;
        var error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? "" : $"exit code {process.ExitCode}. {error.Trim()}";
    }
}
