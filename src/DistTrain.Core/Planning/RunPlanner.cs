using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Planning;

/// <summary>The plans of a run, one after the other, by measured speed. A plan decides how long a step takes and never its bits, so it may change as often as it helps.</summary>
/// <remarks>
/// Of the members, who has not been measured counts as fast as the others on average: it gets its share, and is measured by it. Who got no blocks, because one block
/// would take it longer than all the others together, is given a single one now and then (<see cref="Trial"/>): often enough to find out when it has
/// become faster, seldom enough to cost little if it has not.
/// </remarks>
public sealed class RunPlanner
{
    /// <summary>
    /// A new plan has to be predicted this much faster. Changing costs one message and moves no data, so only noise speaks against it: blocks of equal workers differ by some
    /// per cent from step to step, and plans that follow such differences are no better for it.
    /// </summary>
    public const double Gain = 0.05;

    /// <summary>A worker without blocks is tried after so many times what its block last took: at most this part of the time goes into trials that are in vain.</summary>
    public const int TrialInterval = 40;

    /// <summary>A cover node costs at most this part of a step's computing: where its measured cost is wrong, the plan is hardly worse for it.</summary>
    private const double MostPerCoverNode = 0.1;

    /// <summary>While nothing is measured, a cover node costs this part of a block: it decides between plans that are equally fast otherwise.</summary>
    private const double UnmeasuredCoverNode = 0.01;

    private List<int> _blockCounts;
    private long _samples;
    private readonly Queue<double> _exchanges = [];
    private readonly Dictionary<int, TimeSpan> _tried = [];
    private ulong _number;

    /// <summary>A planner before its first plan.</summary>
    /// <param name="blockCounts">The numbers of blocks that occur, that of a full step first.</param>
    /// <param name="samples">Samples of a full step.</param>
    public RunPlanner(IReadOnlyList<int> blockCounts, long samples)
    {
        (_blockCounts, _samples) = ([.. blockCounts], samples);
        Plan = new BlockPlanTable(0, new Dictionary<int, IReadOnlyList<BlockRange>>());
    }

    /// <summary>The plan in force.</summary>
    public BlockPlanTable Plan { get; private set; }

    /// <summary>From here on operations are cut up otherwise.</summary>
    /// <param name="blockCounts">The numbers of blocks that occur, that of a full step first.</param>
    /// <param name="samples">Samples of a full step.</param>
    public void Expect(IReadOnlyList<int> blockCounts, long samples) => (_blockCounts, _samples) = ([.. blockCounts], samples);

    /// <summary>One more number of blocks occurs.</summary>
    public void Expect(int blocks)
    {
        if (!_blockCounts.Contains(blocks))
        {
            _blockCounts.Add(blocks);
        }
    }

    /// <summary>Plans for new members.</summary>
    /// <param name="members">By rank.</param>
    public BlockPlanTable Begin(IReadOnlyList<SampleTime> members)
    {
        _tried.Clear();
        var speeds = Speeds(members);
        return Adopt(speeds, SecondsPerCoverNode(speeds));
    }

    /// <summary>A new plan for the same members, if it is predicted to be faster by more than <see cref="Gain"/>, or there is none yet for a number of blocks that occurs; else null.</summary>
    /// <param name="members">By rank.</param>
    public BlockPlanTable? Improve(IReadOnlyList<SampleTime> members)
    {
        var (blocks, speeds) = (_blockCounts[0], Speeds(members));
        var perNode = SecondsPerCoverNode(speeds);
        if (!_blockCounts.TrueForAll(Plan.Assignments.ContainsKey))
        {
            return Adopt(speeds, perNode);
        }

        var enough = BlockPlanner.Predict(blocks, Plan.Assignments[blocks], speeds, perNode) * (1 - Gain);
        return Ideal(blocks, speeds) < enough && BlockPlanner.LeastTime(blocks, speeds) < enough
            && BlockPlanner.Predict(blocks, BlockPlanner.Plan(blocks, speeds, perNode), speeds, perNode) < enough
            ? Adopt(speeds, perNode)
            : null;
    }

    /// <summary>Gives out again what is missing of an operation whose members have changed.</summary>
    /// <param name="salvage">What is left of it.</param>
    /// <param name="members">By rank.</param>
    public IReadOnlyList<WorkShare> Recover(Salvage salvage, IReadOnlyList<SampleTime> members)
    {
        var speeds = Speeds(members);
        return WorkShare.Recover(salvage, speeds, SecondsPerCoverNode(speeds));
    }

    /// <summary>Shares that give one block of the plan to a member that has none, where one is due to be tried; else null.</summary>
    /// <param name="blocks">The operation's blocks.</param>
    /// <param name="members">By rank.</param>
    /// <param name="now">The time.</param>
    public IReadOnlyList<WorkShare>? Trial(int blocks, IReadOnlyList<SampleTime> members, TimeSpan now)
    {
        var ranges = Plan.Assignments[blocks].ToArray();
        for (var rank = 0; rank < ranges.Length; rank++)
        {
            if (ranges[rank].Count == 0 && IsDue(rank) && TakeFromNeighbour(ranges, rank))
            {
                _tried[rank] = now;
                return [.. ranges.Select(WorkShare.Of)];
            }
        }

        return null;

        bool IsDue(int rank)
        {
            if (members[rank].Measured is not { } measured)
            {
                return false;
            }

            var (since, tried) = (members[rank].MeasuredAt, _tried.GetValueOrDefault(rank));
            return now - (since > tried ? since : tried) >= TimeSpan.FromSeconds(Math.Min(TrialInterval * measured * _samples / blocks, 1e6));
        }
    }

    /// <summary>Takes how long the members of a completed step waited for the sum after their last block.</summary>
    /// <remarks>
    /// Who computed longest waited least: that is what the exchange adds to the step. It is about the way of one node to the owners of its shards and the way of the root back.
    /// </remarks>
    public void TakeExchange(IEnumerable<double> seconds)
    {
        var least = seconds.Min();
        if (double.IsFinite(least) && least >= 0)
        {
            _exchanges.Enqueue(least);
        }

        if (_exchanges.Count > 3)
        {
            _exchanges.Dequeue();
        }
    }

    /// <summary>The last block of the nearest worker before, or the first of the nearest behind, unless it is their only one.</summary>
    private static bool TakeFromNeighbour(BlockRange[] ranges, int rank)
    {
        var before = Array.FindLastIndex(ranges, rank, r => r.Count > 0);
        var behind = Array.FindIndex(ranges, rank, r => r.Count > 0);
        if (before >= 0 && ranges[before] is { Count: > 1 } left)
        {
            (ranges[before], ranges[rank]) = (left with { End = left.End - 1 }, new BlockRange(left.End - 1, left.End));
            return true;
        }

        if (behind >= 0 && ranges[behind] is { Count: > 1 } right)
        {
            (ranges[behind], ranges[rank]) = (right with { First = right.First + 1 }, new BlockRange(right.First, right.First + 1));
            return true;
        }

        return false;
    }

    /// <summary>The time of a step if blocks could be cut anywhere and exchange cost nothing.</summary>
    private static double Ideal(int blocks, IReadOnlyList<WorkerSpeed> speeds) => blocks / speeds.Sum(s => 1 / s.SecondsPerBlock);

    private BlockPlanTable Adopt(IReadOnlyList<WorkerSpeed> speeds, double perNode) =>
        Plan = BlockPlanTable.Create(++_number, _blockCounts, speeds, perNode);

    /// <summary>The average is that of speeds, not of times: among fast workers and a very slow one, a newcomer is taken for a fast one.</summary>
    private List<WorkerSpeed> Speeds(IReadOnlyList<SampleTime> members)
    {
        var measured = members.Where(m => m.Measured is not null).Select(m => m.Measured!.Value).ToList();
        var average = measured.Count == 0 ? 1 : measured.Count / measured.Sum(m => 1 / m);
        var samplesPerBlock = measured.Count == 0 ? 1 : (double)_samples / _blockCounts[0];
        return [.. members.Select(m => new WorkerSpeed((m.Measured ?? average) * samplesPerBlock))];
    }

    private double SecondsPerCoverNode(List<WorkerSpeed> speeds) => _exchanges.Count == 0
        ? UnmeasuredCoverNode * speeds.Min(s => s.SecondsPerBlock)
        : Math.Min(_exchanges.Order().ElementAt(_exchanges.Count / 2) / 2, MostPerCoverNode * Ideal(_blockCounts[0], speeds));
}
