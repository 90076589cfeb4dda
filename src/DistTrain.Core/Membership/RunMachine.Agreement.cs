using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>What becomes of members that hold different weights after one step: the majority is right.</content>
public sealed partial class RunMachine
{
    /// <summary>How often members that cannot agree go back to a checkpoint together before the run ends.</summary>
    private const int MaxTies = 1;

    /// <summary>
    /// Nobody uses nodes of weights unlike its own, so the others' step is untouched: the minority has to go, and may copy the state anew. Where there is no majority,
    /// nobody's state counts, and all go back to the newest checkpoint, once.
    /// </summary>
    private void Settle(Operation operation, IReadOnlyList<OperationReport> reports)
    {
        var camps = reports.GroupBy(r => r.WeightsHash).OrderByDescending(g => g.Count()).ToList();
        var isTie = camps[0].Count() == camps[1].Count();
        var right = camps[0].Key;
        var sides = string.Join("; ", camps.Select(c =>
            $"{string.Join(", ", _ranks.Where((_, rank) => reports[rank].WeightsHash == c.Key).Select(id => $"{_workers[id].Name} on {_workers[id].Hello.Host}"))}: {AdmissionRules.Short(c.Key)}"));
        _effects.Add(new RunEffect.Announce("disagreement",
            $"After step {operation.Step} the members hold different weights ({sides}): a processor or memory on one of the hosts computes wrongly."));
        if (!isTie)
        {
            (_fruitlessReturns, _isRelinked) = (0, false);
            var wrong = _ranks.Where((_, rank) => reports[rank].WeightsHash != right).Select(id => _workers[id]).ToList();
            Record(operation, [.. reports.Where(r => r.WeightsHash == right)]);
            _hashes[operation.Number] = right;
            _ranks = [.. _ranks.Except(wrong.Select(m => m.Id))];
            wrong.ForEach(m => Evict(m, $"its weights after step {operation.Step} are not those of the majority", mayReturn: true, dropsState: true));
            Form([.. _ranks]);
        }
        else if (_ties++ < MaxTies)
        {
            foreach (var member in Trainers)
            {
                member.Stage = Stage.Arrived;
            }

            (_ranks, _holders, _writer) = ([], 0, default);
            _hashes.Clear();
            _open.TakeAll();
            WaitForWorkers();
        }
        else
        {
            Finish(new RunOutcome(false, $"The members disagreed once more after step {operation.Step}, and no side is a majority: find out which host computes wrongly ({sides})."));
        }
    }
}
