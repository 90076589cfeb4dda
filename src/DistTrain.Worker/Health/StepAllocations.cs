using System.Globalization;
using System.Text.RegularExpressions;

namespace DistTrain.Worker.Health;

/// <summary>
/// How much managed memory a worker's process allocates for a step, from the end of one operation to the end of the next: reports, waiting, heartbeats, the model's own objects, and checkpoints that are
/// copied beside the next steps included. A worker says it in its log when a session ends.
/// </summary>
public sealed partial class StepAllocations
{
    /// <summary>Steps at the beginning that do not count: what they allocate is kept.</summary>
    public const int Uncounted = 8;

    private long _before;
    private long _steps;
    private long _bytes;

    /// <summary>What a step allocates on average, in a sentence; null where none counts yet.</summary>
    public string? Sentence => _steps > Uncounted
        ? string.Create(CultureInfo.InvariantCulture, $"{_bytes / (_steps - Uncounted)} bytes of managed memory allocated a step, mean of {_steps - Uncounted}")
        : null;

    /// <summary>Reads a line of a log.</summary>
    /// <returns>Bytes a step; null for any other line.</returns>
    public static long? Read(string line) => Words().Match(line) is { Success: true } match ? long.Parse(match.Groups[1].ValueSpan, CultureInfo.InvariantCulture) : null;

    /// <summary>An operation has ended.</summary>
    /// <param name="isStep">Whether it was a step: an evaluation does not count.</param>
    /// <param name="allocated">What the process has allocated so far.</param>
    public void Note(bool isStep, long allocated)
    {
        if (isStep && ++_steps > Uncounted)
        {
            _bytes += allocated - _before;
        }

        _before = allocated;
    }

    [GeneratedRegex("([0-9]+) bytes of managed memory allocated a step, mean of [0-9]+")]
    private static partial Regex Words();
}
