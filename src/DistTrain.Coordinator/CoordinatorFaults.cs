using DistTrain.Core.Faults;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;
using DistTrain.Protocol.Faults;

namespace DistTrain.Coordinator;

/// <summary>Tells the injector how far the run has come: the first report of a step is the moment at which that step's faults come to pass here.</summary>
internal sealed class CoordinatorFaults(FaultInjector injector)
{
    /// <summary>More operations than are ever under way.</summary>
    private const int Remembered = 8;

    private readonly Dictionary<ulong, long> _steps = [];

    /// <summary>Remembers the step of an operation that is handed out.</summary>
    public void Issued(Operation operation)
    {
        if (operation.Kind == OperationKind.Train)
        {
            _steps[operation.Number] = operation.Step;
            _steps.Remove(operation.Number - Remembered);
        }
    }

    /// <summary>Looks at what happened, before it is decided upon.</summary>
    public void Happened(RunEvent happened, int members)
    {
        if (happened is RunEvent.Reported { Report.Operation: var operation } && _steps.TryGetValue(operation, out var step))
        {
            injector.Reach(new FaultPoint(step, members, Blocks: 0, IsLast: false));
        }
    }
}
