using System.Collections.Concurrent;
using System.Diagnostics;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using DistTrain.Protocol.V1;

namespace DistTrain.Benchmarks.Scale;

/// <summary>What all scripted workers know: memberships, plans and operations, decoded once.</summary>
internal sealed class Cast
{
    private readonly ConcurrentDictionary<(ulong Generation, ulong From), Lazy<MemberList>> _lists = new();
    private readonly ConcurrentDictionary<ulong, Lazy<Dictionary<int, int>>> _ranks = new();
    private readonly ConcurrentDictionary<ulong, Lazy<BlockPlanTable>> _plans = new();
    private readonly ConcurrentDictionary<(ulong Generation, ulong Operation), Lazy<(Operation Operation, IReadOnlyList<WorkShare> Shares)>> _operations = new();

    private long _watchedSince = long.MaxValue;
    private long _longestPause;

    /// <summary>What has reached whom.</summary>
    public Milestones Milestones { get; } = new();

    /// <summary>The last operation that everyone has applied.</summary>
    public ulong Applied { get; set; }

    /// <summary>The generation in which the operation was handed out whose nodes workers hold; 0 where they hold none.</summary>
    public ulong HoldsSince { get; set; }

    /// <summary>The longest time in which a worker said nothing, at its own end, since pauses are watched.</summary>
    public TimeSpan LongestPause => TimeSpan.FromTicks(Interlocked.Read(ref _longestPause));

    /// <summary>The weights' hash after an operation.</summary>
    public static string HashOf(ulong operation) => $"{operation:x64}";

    /// <summary>What every worker proves.</summary>
    public static Prepared Proof(ulong applied) => new()
    {
        TrainingSamples = 1 << 30,
        ValidationSamples = 10_000,
        DataFingerprint = "data",
        LayoutFingerprint = "layout",
        ProbeHash = "probe",
        WeightsHash = HashOf(applied),
        Metrics = { "accuracy" },
        Applied = applied,
    };

    /// <summary>The members as they are told to a worker that has an earlier list, and to all others that have it.</summary>
    public MemberList Know(ulong generation, MemberList earlier, Func<Protocol.V1.Membership> membership)
    {
        var list = _lists.GetOrAdd((generation, earlier.Generation), _ => new(() => earlier.With(Wire.FromWire(membership()))
            ?? throw new InvalidOperationException($"The members of generation {generation} are told as a change of others than those of {earlier.Generation}."))).Value;
        _ranks.GetOrAdd(generation, _ => new(() => list.Members.Select((member, rank) => (member.Worker, rank)).ToDictionary(m => m.Worker, m => m.rank)));
        return list;
    }

    public void Know(ulong number, Func<Plan> plan) => _plans.GetOrAdd(number, _ => new(() => Wire.FromWire(plan())));

    public void Know((ulong Generation, ulong Operation) which, Func<OperationDescriptor> descriptor) => _operations.GetOrAdd(which, _ => new(() =>
    {
        var wire = descriptor();
        var operation = Wire.FromWire(wire);
        return (operation, Wire.SharesOf(wire) ?? [.. _plans[wire.Plan].Value.Assignments[operation.Batches.Blocks].Select(WorkShare.Of)]);
    }));

    /// <summary>From now on everyone speaks as often as a worker does.</summary>
    public void WatchPauses() => Volatile.Write(ref _watchedSince, Stopwatch.GetTimestamp());

    /// <summary>A worker has said something, and something before.</summary>
    public void NotePause(long before, long now)
    {
        var pause = Stopwatch.GetElapsedTime(Math.Max(before, Volatile.Read(ref _watchedSince)), now).Ticks;
        for (var longest = Interlocked.Read(ref _longestPause); pause > longest;)
        {
            var seen = Interlocked.CompareExchange(ref _longestPause, pause, longest);
            longest = seen == longest ? pause : seen;
        }
    }

    /// <summary>What a worker says when it has linked: that it holds what it computes of the next operation, where workers do.</summary>
    public Linked Linked(ulong generation, int worker)
    {
        var linked = new Linked
        {
            Generation = generation,
            Applied = Applied,
            Transports = { new TransportLinks { Transport = "tcp", Links = _ranks[generation].Value.Count - 1 } },
        };
        if (HoldsSince > 0 && _ranks[HoldsSince].Value.TryGetValue(worker, out var rank))
        {
            var (operation, shares) = _operations[(HoldsSince, Applied + 1)].Value;
            linked.Held.AddRange(shares[rank].Cover(new ReductionTree(operation.Batches.Blocks)).Select(Wire.ToWire));
            linked.MicroBatch = operation.Geometry.Micro;
        }

        return linked;
    }

    /// <summary>What a worker says of an operation it has completed.</summary>
    /// <param name="generation">The generation.</param>
    /// <param name="number">The operation.</param>
    /// <param name="worker">Its id.</param>
    /// <param name="secondsPerBlock">What a block took it.</param>
    public Report Report(ulong generation, ulong number, int worker, double secondsPerBlock)
    {
        var (operation, shares) = _operations[(generation, number)].Value;
        var blocks = shares[_ranks[generation].Value[worker]].Compute.Sum(r => r.Count);
        return new Report
        {
            Generation = generation,
            Operation = number,
            WeightsHash = HashOf(number),
            LossSum = operation.Samples.Count,
            Weight = operation.Samples.Count,
            GradientNorm = 1,
            ComputeSeconds = blocks * secondsPerBlock,
            ExchangeSeconds = 0.001,
            ApplySeconds = 0.001,
            Blocks = blocks,
            BytesSent = 1 << 20,
            ResidentBytes = 1 << 28,
        };
    }
}
