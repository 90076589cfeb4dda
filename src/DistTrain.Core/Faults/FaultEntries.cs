using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using DistTrain.Core.Options;

namespace DistTrain.Core.Faults;

/// <summary>What entries of a plan have in common.</summary>
internal abstract record FaultEntry
{
    [Required]
    [Range(1, 1e12)]
    [Description("the step at which it happens, from 1")]
    public long Step { get; init; }

    [Range(0, 4096)]
    [Description("how many workers must take part before it happens")]
    public int Members { get; init; }
}

/// <summary>The keys below <c>join</c>, <c>restartCoordinator</c> and <c>killAll</c>.</summary>
internal sealed record RunEntry : FaultEntry;

/// <summary>The keys below <c>leave</c>.</summary>
internal record WorkerEntry : FaultEntry
{
    [Required]
    [Range(0, 4095)]
    [Description("the worker's number, from 0")]
    public int Worker { get; init; }
}

/// <summary>The keys below <c>kill</c>.</summary>
internal sealed record KillEntry : WorkerEntry
{
    [Range(0, int.MaxValue)]
    [Description("after how many of its own blocks; 0 is before the first")]
    public int Block { get; init; }
}

/// <summary>The keys below <c>pause</c>.</summary>
internal sealed record PauseEntry : WorkerEntry, IOptionRelations
{
    [Required]
    [Description("how long it is stopped, such as 3s")]
    public TimeSpan For { get; init; }

    public IEnumerable<OptionProblem> Validate() => FaultPauses.Check(For);
}

/// <summary>The keys below <c>cutLink</c>.</summary>
internal sealed record CutLinkEntry : FaultEntry, IOptionRelations
{
    [Required]
    [Description("the numbers of two workers, such as [0, 1]")]
    public string Workers { get; init; } = "";

    /// <summary>The two ends; null where they are not two numbers.</summary>
    public (int Worker, int Peer)? Ends =>
        Workers.Split(',') is [var first, var second] && int.TryParse(first, out var a) && int.TryParse(second, out var b) && a >= 0 && b >= 0 && a != b
            ? (a, b)
            : null;

    public IEnumerable<OptionProblem> Validate()
    {
        if (Ends is null)
        {
            yield return new OptionProblem("workers", Workers, "must be the numbers of two workers, such as [0, 1]");
        }
    }
}

/// <summary>The keys below <c>fullDisk</c>.</summary>
internal sealed record FullDiskEntry : FaultEntry
{
    [Required]
    [Range(1, int.MaxValue)]
    [Description("for how many steps the disk has no room")]
    public int Steps { get; init; }
}

/// <summary>The keys below <c>random</c>.</summary>
internal sealed record RandomEntry : IOptionRelations
{
    [Required]
    [Range(1, 10_000)]
    [Description("how many faults are drawn")]
    public int Count { get; init; }

    [Required]
    [Range(1, 1e12)]
    [Description("the first step that may be drawn")]
    public long From { get; init; }

    [Required]
    [Range(1, 1e12)]
    [Description("the last step that may be drawn")]
    public long To { get; init; }

    [Description("what may be drawn")]
    public string Kinds { get; init; } = "kill, pause, leave, join";

    [Description("how long a pause lasts")]
    public TimeSpan For { get; init; } = TimeSpan.FromSeconds(3);

    [Range(0, 4096)]
    [Description("how many workers must take part before one happens")]
    public int Members { get; init; }

    /// <summary>The kinds that can be drawn; one whose extent somebody has to choose cannot.</summary>
    public static IReadOnlyList<FaultKind> Drawable { get; } = [.. Enum.GetValues<FaultKind>().Where(k => k != FaultKind.FullDisk)];

    public IReadOnlyList<FaultKind?> Named =>
        [.. Kinds.Split(',', StringSplitOptions.TrimEntries).Select(name => Drawable.Cast<FaultKind?>().FirstOrDefault(k => Fault.NameOf(k!.Value) == name))];

    public IEnumerable<OptionProblem> Validate()
    {
        if (To < From)
        {
            yield return new OptionProblem("to", $"{To}", $"must be {From} or more, as from is {From}");
        }

        if (Named.Contains(null))
        {
            yield return new OptionProblem("kinds", Kinds, $"must be a list of {string.Join(", ", Drawable.Select(Fault.NameOf))}");
        }

        foreach (var problem in FaultPauses.Check(For))
        {
            yield return problem;
        }
    }
}

/// <summary>How long a worker may be stopped.</summary>
internal static class FaultPauses
{
    private static readonly TimeSpan Longest = TimeSpan.FromHours(1);

    public static IEnumerable<OptionProblem> Check(TimeSpan pause)
    {
        if (pause <= TimeSpan.Zero || pause > Longest)
        {
            yield return new OptionProblem("for", Duration.Format(pause), $"must be longer than 0s and at most {Duration.Format(Longest)}");
        }
    }
}
