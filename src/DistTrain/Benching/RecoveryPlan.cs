using DistTrain.Core.Faults;

namespace DistTrain.Benching;

/// <summary>
/// The plan of <c>bench recover</c>. One process suffers most of it, and every fault waits until all workers take part: so each begins from a calm run, however long a process
/// takes to come back.
/// </summary>
internal static class RecoveryPlan
{
    /// <summary>Steps between two faults, at least.</summary>
    private const long Apart = 20;

    /// <summary>Blocks after which the worker is killed, in turn.</summary>
    private const int Blocks = 4;

    /// <summary>Steps after which the coordinator is left in peace and the worker's turn comes: more than it loses while a worker takes its time to return.</summary>
    private const long Turn = 200;

    /// <summary>The plan.</summary>
    /// <param name="workers">With how many workers the run begins.</param>
    /// <param name="kills">How often a worker is killed.</param>
    /// <param name="restarts">How often the coordinator is.</param>
    /// <param name="failureDetection">In which time a loss is noticed.</param>
    public static FaultPlan Of(int workers, int kills, int restarts, TimeSpan failureDetection)
    {
        var faults = new List<Fault>();
        for (var restart = 1; restart <= restarts; restart++)
        {
            Add(new Fault { Kind = FaultKind.RestartCoordinator, Step = restart * Apart });
        }

        var first = restarts == 0 ? 0 : (restarts * Apart) + Turn;
        for (var kill = 1; kill <= kills; kill++)
        {
            Add(new Fault { Kind = FaultKind.Kill, Worker = workers - 1, Step = first + (kill * Apart), Block = kill % Blocks });
        }

        // Long enough to be noticed, and to be over before anybody gives up.
        Add(new Fault { Kind = FaultKind.Pause, Worker = workers - 1, Step = first + ((kills + 1) * Apart), For = 2 * failureDetection });
        return new FaultPlan(1, faults);

        void Add(Fault fault) => faults.Add(fault with { Id = faults.Count + 1, Members = workers });
    }
}
