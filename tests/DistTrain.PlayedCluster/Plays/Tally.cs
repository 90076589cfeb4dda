using System.Diagnostics;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>What held and what did not, printed as it is seen.</summary>
internal sealed class Tally
{
    private readonly Stopwatch _time = Stopwatch.StartNew();
    private int _passed;
    private int _failed;

    /// <summary>Prints a line of what happens, with its second.</summary>
    public void Say(string line)
    {
        lock (_time)
        {
            Console.WriteLine($"{_time.Elapsed.TotalSeconds,7:0.0}  {line}");
        }
    }

    /// <summary>Counts whether something holds.</summary>
    /// <param name="what">What is claimed.</param>
    /// <param name="holds">Whether it holds.</param>
    /// <param name="else">What is seen instead.</param>
    public bool Check(string what, bool holds, string @else = "")
    {
        lock (_time)
        {
            Console.WriteLine(holds ? $"ok      {what}" : $"FAILED  {what}{(@else.Length > 0 ? $": {@else}" : "")}");
            _ = holds ? _passed++ : _failed++;
        }

        return holds;
    }

    /// <summary>Runs a play; one that cannot go on has failed.</summary>
    public async Task PlayAsync(string name, Func<Task> play)
    {
        var began = _time.Elapsed;
        Console.WriteLine($"=== {name}");
        try
        {
            await play();
        }
        catch (PlayBrokenException broken)
        {
            Check($"the play {name} can go on", false, broken.Message);
        }

        Console.WriteLine($"=== {name}: {(_time.Elapsed - began).TotalSeconds:0} s");
    }

    /// <summary>The sums.</summary>
    public int Finish()
    {
        Console.WriteLine($"{_passed} passed, {_failed} failed");
        return _failed == 0 && _passed > 0 ? 0 : 1;
    }
}

/// <summary>Something did not come that everything after it needs.</summary>
internal sealed class PlayBrokenException(string message) : Exception(message);
