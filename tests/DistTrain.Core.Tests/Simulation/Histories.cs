namespace DistTrain.Core.Tests.Simulation;

/// <summary>Plays histories, and tells of one that fails what it takes to play it again.</summary>
internal static class Histories
{
    /// <summary>How many histories are played where nothing else is said.</summary>
    public const int Usual = 2000;

    /// <summary>The seed to replay.</summary>
    public const string SeedVariable = "DISTTRAIN_SIMULATION_SEED";

    /// <summary>The planted bug to replay it with.</summary>
    public const string BugVariable = "DISTTRAIN_SIMULATION_BUG";

    /// <summary>How many histories to play.</summary>
    public const string CountVariable = "DISTTRAIN_SIMULATION_HISTORIES";

    /// <summary>Plays one history.</summary>
    /// <returns>What happened in it.</returns>
    /// <exception cref="InvalidOperationException">A rule does not hold; the message is the whole story.</exception>
    public static Counts Play(SimulationCase history)
    {
        var run = new SimulatedRun(history);
        try
        {
            run.Play();
            return run.Counts;
        }
        catch (InvariantBrokenException e)
        {
            throw new InvalidOperationException(Tell(history, e), e);
        }
    }

    /// <summary>Plays those of the seeds from 0 on, on all processors. Each is in one thread.</summary>
    /// <returns>What happened in all of them.</returns>
    public static Counts PlayAll(int count, Func<int, SimulationCase> of)
    {
        var counts = new Counts();
        var (failedSeed, failure) = (int.MaxValue, (Exception?)null);
        Parallel.For(0, count, (seed, loop) =>
        {
            try
            {
                var own = Play(of(seed));
                lock (counts)
                {
                    counts.Add(own);
                }
            }
            catch (InvalidOperationException e)
            {
                lock (counts)
                {
                    (failedSeed, failure) = seed < failedSeed ? (seed, e) : (failedSeed, failure);
                }

                loop.Break();
            }
        });
        return failure is null ? counts : throw failure;
    }

    private static string Tell(SimulationCase history, InvariantBrokenException broken)
    {
        var again = new SimulatedRun(history, isTraced: true);
        var last = "";
        try
        {
            again.Play();
        }
        catch (InvariantBrokenException)
        {
            last = $"{again.Trace}";
        }

        var bug = history.Bug == PlantedBug.None ? "" : $"{BugVariable}={history.Bug} ";
        return $"{broken.Message}\nIn the history of {history}. The last events and effects:\n{last}\n"
            + $"Play it again with:\n{bug}{SeedVariable}={history.Seed} dotnet run -c Release --project tests/DistTrain.Core.Tests -- -class '*SimulationReplay*'";
    }
}
