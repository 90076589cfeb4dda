using DistTrain.Core.Membership;
using DistTrain.Core.Planning;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Membership;

/// <summary>A worker of <see cref="RunSimulation"/>: its place in the run, and what it holds. It computes no numbers, only which were added, in which order.</summary>
internal sealed class SimulatedWorker(int id)
{
    private readonly HashSet<(ulong, int)> _computed = [];
    private TreeFold<string>? _fold;
    private Dictionary<NodeId, string> _held = [];
    private HashSet<NodeId> _cover = [];
    private ulong _heldOperation;

    public int Id => id;

    public bool IsAdmitted { get; set; }

    public bool IsDead { get; set; }

    public bool IsSilent { get; set; }

    public ulong Generation { get; set; }

    public ulong Applied { get; private set; }

    public SimulatedWorker? Source { get; set; }

    public Queue<RunEffect> Inbox { get; } = [];

    public Queue<RunEvent> Outbox { get; } = [];

    public Queue<RunEffect.Issue> Steps { get; } = [];

    public Queue<ulong> Feed { get; } = [];

    public OperationProgress? Progress { get; set; }

    /// <summary>The nodes it holds of the operation after <see cref="Applied"/>.</summary>
    public IEnumerable<NodeId> HeldNames => _heldOperation == Applied + 1 ? _held.Keys.Concat(_fold?.Waiting.Keys ?? []) : [];

    /// <summary>The sum of a node, as the canonical tree has it.</summary>
    public static string Sum(ReductionTree tree, NodeId node)
    {
        var (first, end) = (ReductionTree.FirstBlock(node), tree.EndBlock(node));
        if (end - first == 1)
        {
            return $"{first}";
        }

        var left = new NodeId(node.Level - 1, node.Index * 2);
        return ReductionTree.FirstBlock(left.Sibling) >= tree.Blocks ? Sum(tree, left) : $"({Sum(tree, left)}+{Sum(tree, left.Sibling)})";
    }

    /// <summary>The state is now that after an operation.</summary>
    public void Begin(ulong applied) => Applied = applied;

    /// <summary>Breaks off what is under way; what is held stays.</summary>
    public void Stop()
    {
        Steps.Clear();
        Feed.Clear();
        Source = null;
        Progress = null;
        if (_fold is not null)
        {
            foreach (var (node, value) in _fold.Waiting)
            {
                _held.TryAdd(node, value);
            }

            _fold = null;
        }
    }

    public void BeginOperation(Operation operation, WorkShare share, bool isApplied)
    {
        Progress = new OperationProgress(isApplied ? [] : share.Compute.SelectMany(r => Enumerable.Range(r.First, r.Count)));
        if (isApplied)
        {
            return;
        }

        var tree = new ReductionTree(operation.Batches.Blocks);
        _cover = [.. share.Cover(tree)];
        _held = _heldOperation == operation.Number ? _held.Where(h => share.Held.Contains(h.Key)).ToDictionary() : [];
        _heldOperation = operation.Number;
        _fold = new TreeFold<string>(tree, (left, right) => $"({left}+{right})");
    }

    /// <summary>Adds a block.</summary>
    /// <returns>Whether it is the first time.</returns>
    public bool Compute(Operation operation, int block)
    {
        var (node, sum) = _fold!.Add(new ReductionTree(operation.Batches.Blocks).Leaf(block), $"{block}");
        if (_cover.Contains(node))
        {
            _fold.Take(node, out _);
            _held.Add(node, sum);
        }

        return _computed.Add((operation.Number, block));
    }

    public string ValueOf(NodeId node, ReductionTree tree, bool isApplied) =>
        isApplied && node == tree.Root ? Sum(tree, node)
        : _held.TryGetValue(node, out var value) ? value
        : throw new InvalidOperationException($"worker {id} does not hold {node} of operation {_heldOperation}");
}

/// <summary>How far a worker is in an operation.</summary>
internal sealed class OperationProgress(IEnumerable<int> blocks)
{
    public Queue<int> Blocks { get; } = new(blocks);

    public bool HasContributed { get; set; }
}
