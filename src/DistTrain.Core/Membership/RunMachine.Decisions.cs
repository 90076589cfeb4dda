using DistTrain.Core.Journals;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>What a completed operation shows may change the course, two steps later: the global batch, the rate, or where the run ends.</content>
public sealed partial class RunMachine
{
    private RunDecider _decider;

    /// <summary>Decides from an operation that has no line yet. What has one was decided on before, and what is computed again shows the same.</summary>
    private void Decide(Operation operation, OperationReport report)
    {
        var loss = report.LossSum / report.Weight;
        var shown = new OperationEvidence(operation.Kind, operation.Step, double.IsFinite(loss) ? loss : double.NaN, report.Gradients?.Moments(report.Weight, operation.Samples.Count));
        if (operation.Number <= _written)
        {
            return;
        }

        _course = _course!.With(shown);
        if (_decider.Take(shown, _course) is not { } decision || !_course.Takes(decision))
        {
            return;
        }

        _effects.Add(new RunEffect.Write(new JournalEntry.Decision(decision)));
        _effects.Add(decision.EndsRun
            ? new RunEffect.Announce("early-stop", $"The run ends after step {decision.From - 1}: {decision.Reason}.")
            : new RunEffect.Announce("batch", $"From step {decision.From} on a step takes {decision.Batch} sample{(decision.Batch == 1 ? "" : "s")}: {decision.Reason}."));
        _course = _course.With(decision);
        TakeBackFrom(decision.From);
    }

    /// <summary>Operations that were taken up in advance, as workers came back with a state, and that nobody was given, are other ones now.</summary>
    private void TakeBackFrom(long step)
    {
        if (_open.All.FirstOrDefault(o => o.Kind == OperationKind.Train && o.Step >= step) is { } first)
        {
            _open.RemoveFrom(first.Number);
            _position = _course!.Before(first.Number);
            foreach (var other in _positions.Keys.Where(s => s >= step).ToList())
            {
                _positions.Remove(other);
            }
        }

        _allIssued = _isStopping;
    }
}
