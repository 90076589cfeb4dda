using DistTrain.Launching;

namespace DistTrain;

/// <summary>What a command touches of the world: the console, the environment, the clock and its own executable.</summary>
internal sealed record Surroundings
{
    /// <summary>Where results go.</summary>
    public required TextWriter Out { get; init; }

    /// <summary>Where everything else goes: errors and warnings.</summary>
    public required TextWriter Error { get; init; }

    /// <summary>Whether a person watches <see cref="Out"/> on a terminal that can redraw.</summary>
    public bool IsTerminal { get; init; }

    /// <summary>The environment variables.</summary>
    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    /// <summary>The clock.</summary>
    public TimeProvider Time { get; init; } = TimeProvider.System;

    /// <summary>How this program is started again, for the processes of a local run.</summary>
    public required ChildCommand Program { get; init; }

    /// <summary>Whether a launcher started this process and holds its standard input.</summary>
    public bool IsSupervised => Environment.ContainsKey(Supervision.Variable);

    /// <summary>The process's own.</summary>
    public static Surroundings OfProcess()
    {
        var environment = System.Environment.GetEnvironmentVariables().Cast<System.Collections.DictionaryEntry>()
            .ToDictionary(e => (string)e.Key, e => (string?)e.Value ?? "");
        return new Surroundings
        {
            Out = Console.Out,
            Error = Console.Error,
            IsTerminal = !Console.IsOutputRedirected && environment.GetValueOrDefault("TERM") != "dumb",
            Environment = environment,
            Program = ChildCommand.OfThisProcess(),
        };
    }

    /// <summary>What a line that says why a command failed begins with.</summary>
    public const string ErrorPrefix = "error: ";

    /// <summary>Says why a command failed, on standard error.</summary>
    public void Fail(string sentence) => Error.WriteLine(ErrorPrefix + sentence);
}
