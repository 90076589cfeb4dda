using DistTrain.Core.BatchScience;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>The run as one worker computes it that nothing ever happens to: what every other has to come to.</summary>
internal sealed class CanonicalRun
{
    /// <summary>The weights before the first step.</summary>
    public const ulong InitialWeights = 1;

    private readonly List<(Operation Operation, ReductionTree Tree, Gradient Root, ulong Weights)> _operations = [];
    private readonly Dictionary<ulong, string> _names = [];

    private readonly List<RunDecision> _decisions = [];

    private RunOptions _options;
    private RunCourse _planned;

    public CanonicalRun(RunOptions options, RunCourse course)
    {
        (_options, _planned) = (options, course);
        Compute();
    }

    /// <summary>What is decided in it, in order.</summary>
    public IReadOnlyList<RunDecision> Decisions => _decisions;

    /// <summary>How many operations the run has.</summary>
    public ulong Count => (ulong)_operations.Count;

    /// <summary>The run is another one from its first operation on.</summary>
    public void Begin(RunOptions options, RunCourse course)
    {
        (_options, _planned) = (options, course);
        Compute();
    }

    /// <summary>From here on the run is cut up otherwise.</summary>
    /// <returns>The first operation that is another one by it.</returns>
    public ulong Change(GeometryChange change)
    {
        var first = _operations.Find(o => o.Operation.Kind == change.Kind && o.Operation.Step == change.Step).Operation.Number;
        _planned = _planned.With(change);
        Compute();
        return first;
    }

    /// <summary>What weights become by an operation; an evaluation leaves them.</summary>
    public static ulong WeightsAfter(ulong weights, Operation operation, ulong reduced) =>
        operation.Kind == OperationKind.Train ? Hash64.Combine(weights, reduced) : weights;

    public Operation Operation(ulong number) => _operations[(int)number - 1].Operation;

    public ReductionTree Tree(ulong number) => _operations[(int)number - 1].Tree;

    public Gradient Root(ulong number) => _operations[(int)number - 1].Root;

    /// <summary>The weights that contain an operation; 0 for the initial ones.</summary>
    public ulong Weights(ulong applied) => applied == 0 ? InitialWeights : _operations[(int)applied - 1].Weights;

    /// <summary>What reports call weights.</summary>
    public string NameOf(ulong weights)
    {
        if (!_names.TryGetValue(weights, out var name))
        {
            _names.Add(weights, name = $"{weights:x16}");
        }

        return name;
    }

    /// <summary>The loss that an operation shows which leads to certain weights.</summary>
    public static double LossOf(ulong weights) => (weights >> 40) / (double)(1 << 24);

    /// <summary>The gradients that a step shows.</summary>
    public static GradientSums GradientsOf(ulong weights, Operation operation)
    {
        var (blocks, samples) = (operation.Batches.Blocks, (double)operation.Samples.Count);
        var (trace, square) = (4 + (60 * LossOf(weights)), 0.5 + LossOf(Hash64.Combine(weights, 1)));
        return new GradientSums(blocks, (trace * blocks) + (samples * square), samples * ((samples * square) + trace));
    }

    private void Compute()
    {
        _operations.Clear();
        _decisions.Clear();
        var (weights, course, decider) = (InitialWeights, _planned, new RunDecider(_options));
        for (var at = CoursePosition.Start; course.Next(at) is var (operation, next); at = next)
        {
            var tree = new ReductionTree(operation.Batches.Blocks);
            var root = Sum(tree, tree.Root, weights, operation);
            weights = WeightsAfter(weights, operation, root.Bits);
            _operations.Add((operation, tree, root, weights));
            var moments = operation.Kind == OperationKind.Train ? GradientsOf(weights, operation).Moments(operation.Samples.Count, operation.Samples.Count) : null;
            var shown = new OperationEvidence(operation.Kind, operation.Step, LossOf(weights), moments);
            course = course.With(shown);
            if (decider.Take(shown, course) is { } decision && course.Takes(decision))
            {
                _decisions.Add(decision);
                course = course.With(decision);
            }
        }
    }

    /// <summary>By definition, and on purpose not by <see cref="TreeFold{T}"/>.</summary>
    private static Gradient Sum(ReductionTree tree, NodeId node, ulong weights, Operation operation)
    {
        if (tree.EndBlock(node) - ReductionTree.FirstBlock(node) == 1)
        {
            return Gradient.OfBlock(weights, operation, ReductionTree.FirstBlock(node));
        }

        var left = new NodeId(node.Level - 1, node.Index * 2);
        return ReductionTree.FirstBlock(left.Sibling) >= tree.Blocks
            ? Sum(tree, left, weights, operation)
            : Gradient.Add(Sum(tree, left, weights, operation), Sum(tree, left.Sibling, weights, operation));
    }
}
