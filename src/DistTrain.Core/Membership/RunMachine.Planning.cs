using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>How fast members are, what each gets to do, and whether it gets on with it.</content>
public sealed partial class RunMachine
{
    private readonly ProgressWatch _progress;
    private RunPlanner? _planner;
    private BatchGeometry _planned;

    private RunPlanner Planner => _planner ??= new RunPlanner(
        _course!.BlockCounts(_options.Geometry), Math.Min(_options.Batch.Global, _course.TrainingSamples));

    private IReadOnlyList<SampleTime> Times => [.. Trainers.Select(m => m.Time)];

    /// <summary>The planner, for operations that are cut up like a given one.</summary>
    private RunPlanner PlannerOf(Operation? operation)
    {
        if (operation is not null && operation.Geometry != _planned)
        {
            _planned = operation.Geometry;
            Planner.Expect(_course!.BlockCounts(_planned), Math.Min(_planned.Global, _course.TrainingSamples));
        }

        if (operation is not null)
        {
            Planner.Expect(operation.Batches.Blocks);
        }

        return Planner;
    }

    /// <summary>Tells the members a new plan, before the first operation that names it.</summary>
    private void SendPlan(BlockPlanTable plan, ulong from) =>
        _effects.Add(new RunEffect.SendPlan(plan, from, [.. Times.Select(t => t.Measured)]));

    /// <summary>What each member contributes to an operation that comes next, where that is not what the plan says; the plan is made anew before, where that helps.</summary>
    private IReadOnlyList<WorkShare>? PlanFor(Operation operation)
    {
        if (PlannerOf(operation).Improve(Times) is { } plan)
        {
            SendPlan(plan, operation.Number);
        }

        return operation.Kind == OperationKind.Train ? Planner.Trial(operation.Batches.Blocks, Times, _now) : null;
    }

    /// <summary>Learns from an operation that all members completed how fast each is.</summary>
    private void Measure(Operation operation, IReadOnlyList<OperationReport> reports)
    {
        if (operation.Kind != OperationKind.Train)
        {
            return;
        }

        var samplesPerBlock = (double)operation.Samples.Count / operation.Batches.Blocks;
        foreach (var (member, report) in Trainers.Zip(reports))
        {
            member.Time.Take(report.Blocks * samplesPerBlock, report.ComputeSeconds, _now);
        }

        if (reports.Count > 1)
        {
            Planner.TakeExchange(reports.Select(r => r.ExchangeSeconds));
        }
    }

    /// <summary>From now on the members have to get on with an operation. Who has applied it before computes nothing of it.</summary>
    private void Watch(Operation operation, IReadOnlyList<WorkShare>? shares)
    {
        var batches = operation.Batches;
        var samplesPerBlock = (double)operation.Samples.Count / batches.Blocks;
        for (var rank = 0; rank < _ranks.Count; rank++)
        {
            var member = _workers[_ranks[rank]];
            if (member.Applied < operation.Number)
            {
                var blocks = shares?[rank].Compute.Sum(r => r.Count) ?? Planner.Plan.Assignments[batches.Blocks][rank].Count;
                _progress.Issue(member.Id, operation.Number, blocks, samplesPerBlock, Listened);
            }
        }
    }

    private void LoseWhoMakesNoProgress()
    {
        // Whoever is lost ends the generation, and with it what the others have to get on with.
        foreach (var member in Trainers)
        {
            if (_progress.Overdue(member.Id, member.Time.Expected, Listened) is { } time)
            {
                Lose(member, $"it made no progress for {Duration.Format(time)}", mayReturn: true);
                return;
            }
        }
    }
}
