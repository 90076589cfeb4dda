using DistTrain.Core.Journals;
using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>The last things that happened. Kept only when a history that failed is played again.</summary>
internal sealed class Trace(SimulatedRun run)
{
    private const int Kept = 40;

    private readonly Queue<string> _last = [];

    public void Event(RunEvent happened)
    {
        if (happened is not (RunEvent.Heard or RunEvent.TimePassed))
        {
            Note($"> {Say(happened)}");
        }
    }

    public void Effect(RunEffect effect) => Note($"    {Say(effect)}");

    public void Message(SimulatedWorker worker, object message)
    {
        if (message is not Acknowledged)
        {
            Note($"  Worker {worker.Number} reads {message.GetType().Name}.");
        }
    }

    public void Note(string what)
    {
        _last.Enqueue($"{run.Scheduler.Now:c}  {what}");
        if (_last.Count > Kept)
        {
            _last.Dequeue();
        }
    }

    public override string ToString() => string.Join('\n', _last);

    private static string Say(RunEvent happened) => happened switch
    {
        RunEvent.Arrived e => $"Arrived {e.Worker} from process {e.Hello.Process}, offering {e.Hello.Offer?.ToString() ?? "nothing"}",
        RunEvent.Prepared e => $"Prepared {e.Worker}, answer to {e.Told}: applied {e.Preparation.Applied}, weights {e.Preparation.WeightsHash}",
        RunEvent.Kept e => $"Kept {e.Worker}: applied {e.Preparation.Applied}, reports {string.Join(", ", e.Reports.Select(r => r.Operation))}",
        RunEvent.Linked e => $"Linked {e.Worker} in generation {e.Generation}: applied {e.Applied}, holds {string.Join(", ", e.Held)}",
        RunEvent.Reported e => $"Reported {e.Worker}: operation {e.Report.Operation} of generation {e.Report.Generation}, weights {e.Report.WeightsHash}",
        _ => $"{happened}",
    };

    private static string Say(RunEffect effect) => effect switch
    {
        RunEffect.FormGeneration e => $"Form generation {e.Generation} of {string.Join(", ", e.Members)}",
        RunEffect.SendPlan e => $"Send plan {e.Plan.Number}",
        RunEffect.Issue e => $"Issue {e.Operation.Number}, {e.Operation.Kind} {e.Operation.Step} in {e.Operation.Batches.Blocks} blocks, writer {e.CheckpointWriter}"
            + string.Concat((e.Shares ?? []).Select(s => $"; holds {string.Join(", ", s.Held)}, computes {string.Join(", ", s.Compute.Select(r => $"{r.First}..{r.End - 1}"))}")),
        RunEffect.Record e => $"Record {e.Operation.Number}, {e.Operation.Kind} {e.Operation.Step}, reported by {e.Reports.Count}",
        RunEffect.Write { Entry: JournalEntry.Reference } => "Write the reference",
        _ => $"{effect}",
    };
}
