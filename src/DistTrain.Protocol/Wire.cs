using DistTrain.Core.Batches;
using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Protocol.V1;
using Google.Protobuf.Collections;

namespace DistTrain.Protocol;

/// <summary>Between the messages of the wire and the values of Core. Nothing is decided here.</summary>
public static class Wire
{
    public static WorkerHello FromWire(Hello hello) => new(
        (int)hello.Protocol, hello.Version, hello.Number, hello.Host, hello.Process, hello.Address, hello.Arithmetic,
        hello.ConfigurationFingerprint, hello.Offer?.Applied)
    {
        WasKilledForMemory = hello.KilledForMemory,
    };

    public static Hello ToWire(WorkerHello hello) => new()
    {
        Protocol = (uint)hello.Protocol,
        Version = hello.Version,
        Number = hello.Number,
        Host = hello.Host,
        Process = hello.Process,
        Address = hello.Address,
        Arithmetic = hello.Arithmetic,
        ConfigurationFingerprint = hello.ConfigurationFingerprint,
        KilledForMemory = hello.WasKilledForMemory,
        Capabilities = { "grpc", "fp32" },
    };

    public static WorkerPreparation FromWire(Prepared prepared) => new(
        prepared.TrainingSamples, prepared.ValidationSamples, prepared.DataFingerprint, prepared.LayoutFingerprint,
        prepared.ProbeHash, prepared.WeightsHash, [.. prepared.Metrics], prepared.Applied, [.. prepared.Remarks])
    {
        Proposal = prepared.Proposal,
        Most = prepared.Most,
        Classes = [.. prepared.Classes],
        HasPerplexity = prepared.HasPerplexity,
    };

    public static Prepared ToWire(WorkerPreparation preparation) => new()
    {
        TrainingSamples = preparation.TrainingSamples,
        ValidationSamples = preparation.ValidationSamples,
        DataFingerprint = preparation.DataFingerprint,
        LayoutFingerprint = preparation.LayoutFingerprint,
        ProbeHash = preparation.ProbeHash,
        WeightsHash = preparation.WeightsHash,
        Metrics = { preparation.Metrics },
        Applied = preparation.Applied,
        Remarks = { preparation.Remarks },
        Proposal = preparation.Proposal,
        Most = preparation.Most,
        Classes = { preparation.Classes },
        HasPerplexity = preparation.HasPerplexity,
    };

    public static Operation FromWire(OperationDescriptor descriptor) => new(
        descriptor.Operation,
        descriptor.Kind == OperationDescriptor.Types.Kind.Evaluate ? OperationKind.Evaluate : OperationKind.Train,
        descriptor.Step,
        new SampleRange(descriptor.Epoch, descriptor.First, descriptor.Samples),
        new BatchGeometry(descriptor.Geometry.GlobalBatch, descriptor.Geometry.MicroBatch, descriptor.Geometry.Blocks),
        descriptor.LearningRate,
        descriptor.CheckpointWriter >= 0,
        descriptor.Stop);

    public static OperationDescriptor ToWire(Operation operation, ulong plan, int checkpointWriter, IReadOnlyList<WorkShare>? shares) => new()
    {
        Operation = operation.Number,
        Kind = operation.Kind == OperationKind.Evaluate ? OperationDescriptor.Types.Kind.Evaluate : OperationDescriptor.Types.Kind.Train,
        Step = operation.Step,
        Epoch = operation.Samples.Epoch,
        First = operation.Samples.First,
        Samples = operation.Samples.Count,
        Geometry = new Geometry
        {
            GlobalBatch = operation.Geometry.Global,
            MicroBatch = operation.Geometry.Micro,
            Blocks = operation.Geometry.Blocks,
        },
        LearningRate = operation.LearningRate,
        Plan = plan,
        CheckpointWriter = checkpointWriter,
        Stop = operation.IsLast,
        Shares = { (shares ?? []).Select(share => ToWire(new ReductionTree(operation.Batches.Blocks), share)) },
    };

    /// <summary>What each rank contributes where the descriptor says so itself; null where it follows the plan.</summary>
    public static IReadOnlyList<WorkShare>? SharesOf(OperationDescriptor descriptor)
    {
        if (descriptor.Shares.Count == 0)
        {
            return null;
        }

        var tree = new ReductionTree(FromWire(descriptor).Batches.Blocks);
        return [.. descriptor.Shares.Select(share => new WorkShare(
            share.HeldBlocks is { } held ? tree.Cover(held.First, held.End) : [.. share.Held.Select(FromWire)], [.. share.Compute.Select(FromWire)]))];
    }

    /// <summary>After a loss most members hold the cover of the blocks they were given: of a thousand, its nodes would be most of the message that goes to each.</summary>
    private static Share ToWire(ReductionTree tree, WorkShare share)
    {
        var wire = new Share { Compute = { share.Compute.Select(ToWire) } };
        if (share.Held.Count > 0)
        {
            var blocks = new BlockRange(ReductionTree.FirstBlock(share.Held[0]), tree.EndBlock(share.Held[^1]));
            if (blocks.First < blocks.End && share.Held.SequenceEqual(tree.Cover(blocks.First, blocks.End)))
            {
                wire.HeldBlocks = ToWire(blocks);
            }
            else
            {
                wire.Held.AddRange(share.Held.Select(ToWire));
            }
        }

        return wire;
    }

    private static Blocks ToWire(BlockRange range) => new() { First = range.First, End = range.End };

    private static BlockRange FromWire(Blocks blocks) => new(blocks.First, blocks.End);

    public static MembershipChange FromWire(V1.Membership membership) => new(
        membership.Generation, membership.From, [.. membership.Gone], [.. membership.Members.Select(m => new ListedMember(m.Worker, m.Address, m.Number))]);

    public static V1.Membership ToWire(MembershipChange change) => new()
    {
        Generation = change.Generation,
        From = change.From,
        Gone = { change.Gone },
        Members = { change.Came.Select(m => new V1.Member { Worker = m.Worker, Address = m.Address, Number = m.Number }) },
    };

    public static NodeName ToWire(NodeId node) => new() { Level = node.Level, Index = node.Index };

    public static NodeId FromWire(NodeName name) => new(name.Level, name.Index);

    public static BlockPlanTable FromWire(Plan plan) => new(
        plan.Number,
        plan.Assignments.ToDictionary(
            a => a.Blocks,
            a => (IReadOnlyList<BlockRange>)[.. a.Cuts.Zip(a.Cuts.Skip(1), (first, end) => new BlockRange(first, end))]));

    public static Plan ToWire(BlockPlanTable plan) => new()
    {
        Number = plan.Number,
        Assignments =
        {
            plan.Assignments.Select(a => new Assignment
            {
                Blocks = a.Key,
                Cuts = { a.Value.Select(r => r.First).Append(a.Value[^1].End) },
            }),
        },
    };

    public static OperationReport FromWire(Report report) => new()
    {
        Generation = report.Generation,
        Operation = report.Operation,
        WeightsHash = report.WeightsHash,
        Skipped = report.Skipped,
        LossSum = report.LossSum,
        Weight = report.Weight,
        MetricSums = [.. report.MetricSums],
        Gradients = FromWire(report.Gradients),
        Preconditioned = FromWire(report.Preconditioned),
        GradientNorm = report.GradientNorm,
        ComputeSeconds = report.ComputeSeconds,
        ExchangeSeconds = report.ExchangeSeconds,
        WaitSeconds = report.WaitSeconds,
        ApplySeconds = report.ApplySeconds,
        Blocks = report.Blocks,
        BytesSent = report.BytesSent,
        BytesEarly = report.BytesEarly,
        ResidentBytes = report.ResidentBytes,
        Transports = report.Transports,
    };

    public static Report ToWire(OperationReport report) => new()
    {
        Generation = report.Generation,
        Operation = report.Operation,
        WeightsHash = report.WeightsHash,
        Skipped = report.Skipped,
        LossSum = report.LossSum,
        Weight = report.Weight,
        MetricSums = { report.MetricSums },
        Gradients = ToWire(report.Gradients),
        Preconditioned = ToWire(report.Preconditioned),
        GradientNorm = report.GradientNorm,
        ComputeSeconds = report.ComputeSeconds,
        ExchangeSeconds = report.ExchangeSeconds,
        WaitSeconds = report.WaitSeconds,
        ApplySeconds = report.ApplySeconds,
        Blocks = report.Blocks,
        BytesSent = report.BytesSent,
        BytesEarly = report.BytesEarly,
        ResidentBytes = report.ResidentBytes,
        Transports = report.Transports,
    };

    private static Core.BatchScience.GradientSums? FromWire(V1.GradientSums? sums) =>
        sums is null ? null : new Core.BatchScience.GradientSums(sums.Blocks, sums.BlockSquares, sums.SumSquare);

    private static V1.GradientSums? ToWire(Core.BatchScience.GradientSums? sums) =>
        sums is null ? null : new V1.GradientSums { Blocks = sums.Blocks, BlockSquares = sums.BlockSquares, SumSquare = sums.SumSquare };

    public static Core.Reduction.NodeHeader FromWire(V1.NodeHeader header) =>
        new(header.LossSum, header.Weight, header.MetricSums.Count == 0 ? [] : [.. header.MetricSums]);

    public static V1.NodeHeader ToWire(Core.Reduction.NodeHeader header) => new()
    {
        LossSum = header.LossSum,
        Weight = header.Weight,
        MetricSums = { header.MetricSums },
    };

    public static NodeId NodeOf(NodeChunk chunk) => new(chunk.Level, chunk.Index);

    public static Refusal ToWire(RefusalReason reason, string sentence) => new()
    {
        Reason = (Refusal.Types.Reason)(int)reason,
        Sentence = sentence,
    };

    /// <summary>A configuration's keys and values, whose order means nothing.</summary>
    public static void Add(this MapField<string, string> target, IEnumerable<KeyValuePair<string, string>> values)
    {
        foreach (var (key, value) in values)
        {
            target[key] = value;
        }
    }
}
