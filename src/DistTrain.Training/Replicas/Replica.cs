using DistTrain.Core.Batches;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Layouts;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Core.Reduction;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Core.Schedules;
using DistTrain.Core.Tuning;
using DistTrain.Training.Activations;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>What became of a reduced step.</summary>
/// <param name="Skipped">Whether the weights were left as they were, because the step had no weight or a gradient was not finite.</param>
/// <param name="GradientNorm">Norm of the mean gradient before clipping.</param>
/// <param name="Gradients">What the noise scale is estimated from; null where it is not measured or the step was skipped.</param>
/// <param name="Preconditioned">The same as the rule scales gradients; null also where it scales none.</param>
public readonly record struct AppliedStep(bool Skipped, double GradientNorm, GradientSums? Gradients = null, GradientSums? Preconditioned = null);

/// <summary>
/// One worker's copy of the training state, and the arithmetic on it: gradients of blocks, and the update. No method depends on the worker's rank
/// or on how many there are.
/// </summary>
/// <remarks>Create and use it on one thread: torch's scopes and its grad mode belong to threads.</remarks>
public sealed partial class Replica : IDisposable
{
    /// <summary>The name of the running average in <see cref="State"/>.</summary>
    internal const string AverageName = "average";

    private readonly ITrainingTask _task;
    private readonly EvaluationForm _evaluation;
    private readonly RunOptions _options;
    private readonly FlatModel _model;
    private readonly BatchScaling _scaling;
    private readonly IFlatOptimizer _optimizer;
    private readonly WeightsHash _hash;
    private readonly NativeVector? _average;
    private readonly NoiseMeter? _noise;
    private readonly ActivationTape _activations;
    private readonly GradientWatch? _watch;
    private readonly BatchLoader _batches;
    private bool _hasTrained;
    private bool _isAveraged;
    private bool _addsEntries;

    /// <summary>Builds the model and lays it out.</summary>
    /// <param name="task">The task; disposed by the caller.</param>
    /// <param name="options">The run's configuration.</param>
    /// <param name="device">Where the model computes.</param>
    public Replica(ITrainingTask task, RunOptions options, ComputeDevice device)
    {
        _task = task;
        _evaluation = new EvaluationForm(task.Metrics) { Classes = task.Classes };
        _options = options;
        Device = device;
        _activations = new ActivationTape(options.ActivationCheckpointing);
        lock (TorchGenerator.Gate)
        {
            manual_seed(Hash64.InitialSeed(options.Seed)).Dispose();
            _model = new FlatModel(task.BuildModel(), device);
        }

        _watch = _model.CreateWatch();
        _scaling = new BatchScaling(options, task.Training.Count);
        _optimizer = FlatOptimizers.Create(options.Optimizer, Layout.Count, _scaling.IsOn);
        _noise = options.MeasuresNoise ? new NoiseMeter(Layout, _optimizer, !device.HasOwnMemory) : null;
        if (options.Average.Decay > 0)
        {
            _average = new NativeVector(Layout.Count);
            _average.CopyFrom(_model.Weights);
        }

        _hash = new WeightsHash(Layout.Tiles);
        _hash.TakeAll(_model.Weights);
        _batches = new BatchLoader(task, options.Seed);
    }

    /// <summary>Where the model computes.</summary>
    public ComputeDevice Device { get; }

    /// <summary>The vectors of the state, as far as they take memory.</summary>
    public StateSize Size => new(Layout.Count, _optimizer.Vectors.Count, _average is not null) { AddsOnTop = AddsOnTop };

    /// <summary>Whether the sum of a block of one micro-batch may be accumulated on top of another.</summary>
    private bool AddsOnTop => _noise is null && _watch is { AddsOnce: true } && SparseOperators.IsKnown && !_addsEntries;

    /// <summary>Where every parameter lies.</summary>
    public ParameterLayout Layout => _model.Layout;

    /// <summary>Hash of the weights as they are.</summary>
    public string WeightsHash => _hash.Text;

    /// <summary>The vectors of the state by name: the weights as <c>model</c>, the optimizer's, the running average of the weights where one is kept.</summary>
    public IReadOnlyList<(string Name, NativeVector Vector)> State =>
        [("model", _model.Weights), .. _optimizer.Vectors, .. _average is null ? Array.Empty<(string, NativeVector)>() : [(AverageName, _average)]];

    /// <summary>The optimizer's numbers by name.</summary>
    public IReadOnlyDictionary<string, double> Scalars
    {
        get => _optimizer.Scalars;
        set
        {
            _optimizer.Scalars = value;
            _noise?.StateChanged();
        }
    }

    /// <summary>How many sums beside loss and weight an operation's headers have: an evaluation's metrics and confusions, or what the noise scale takes.</summary>
    public int SumCount(OperationKind kind) => kind == OperationKind.Evaluate ? (int)_evaluation.Sums : _noise?.Count ?? 0;

    /// <summary>What people should know of the model and the configuration, in sentences; of what the model does in training once it has been seen to train.</summary>
    /// <param name="micro">Most samples of a micro-batch.</param>
    public IEnumerable<string> Remarks(int micro) =>
        [.. ModelRemarks.On(_model.Module, _options.Batch with { Micro = micro }), .. ModelRemarks.On(_activations, _hasTrained)];

    /// <summary>Memory for the nodes of training operations; disposed by the caller, ahead of the replica.</summary>
    public NodePool CreateNodes() => _model.CreateNodes();

    /// <summary>Forgets the node that gradients were last added to: to be called before its memory is freed, where the replica goes on to live.</summary>
    public void ForgetNode() => _model.UnbindGradients();

    /// <summary>To be called after the vectors of <see cref="State"/> were written from outside.</summary>
    public void StateWasReplaced()
    {
        _model.WeightsChanged();
        _noise?.StateChanged();
        _hash.TakeAll(_model.Weights);
    }

    /// <summary>
    /// Whether a block may be added on top of another sum with the bits of summing it by itself and adding that: it is one backward pass, which adds to every gradient once, and nobody
    /// asks for the block's own sum.
    /// </summary>
    public bool CanAddOnTop(Operation operation, int block) =>
        operation.Kind == OperationKind.Train && AddsOnTop && operation.Batches.Block(block).Count == 1;

    /// <summary>
    /// Puts the running average in place of the weights until disposed, where one is kept: what is evaluated is the average. To be held over all blocks of an evaluation, each of which would do it for
    /// itself otherwise. Nobody is to read <see cref="State"/> meanwhile.
    /// </summary>
    /// <returns>To be disposed; null where no average is kept, or is in place already.</returns>
    public IDisposable? UseAverage()
    {
        if (_average is null || _isAveraged)
        {
            return null;
        }

        _isAveraged = true;
        return new WeightsSwap(_model.Weights, _average, Layout.BuffersStart, _model.WeightsChanged, () => _isAveraged = false);
    }

    /// <summary>Sums the gradients of one block's micro-batches, or the metrics where the operation evaluates.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="block">0..K-1.</param>
    /// <param name="node">Where to sum; whatever it held is forgotten, but for <paramref name="onTop"/>.</param>
    /// <param name="afterMicroBatch">Called after every micro-batch.</param>
    /// <param name="onFinal">
    /// Told on another thread, while the last backward pass still runs, of slots whose sums are final; not any more when this returns. It need not be told of any, and is of none where
    /// <see cref="NodeBuffer.AccumulatesInHost"/> is not so. null for nobody.
    /// </param>
    /// <param name="onTop">Whether to add to what the node holds, where <see cref="CanAddOnTop"/>: that is spoiled where this throws.</param>
    /// <param name="next">The own block after this one, whose first micro-batch is loaded while the last of this one is computed; null after the last, where <see cref="Expect"/> says what follows.</param>
    public void Accumulate(
        Operation operation, int block, NodeBuffer node, Action afterMicroBatch, Action<int>? onFinal = null, bool onTop = false, int? next = null)
    {
        var (batches, training) = (operation.Batches, operation.Kind == OperationKind.Train);
        var (lossSum, weightSum) = (0.0, 0L);
        var metrics = new double[training ? 0 : _evaluation.Sums];
        if (training)
        {
            if (!onTop)
            {
                node.Clear();
            }

            _model.BindGradients(node);
        }

        using var averaged = training ? null : UseAverage();
        _model.Synchronize();
        var microBatches = batches.Block(block);
        for (var index = microBatches.First; index < microBatches.End; index++)
        {
            using var scope = NewDisposeScope();
            var isLast = index == microBatches.End - 1;
            using var batch = Load(operation, index, !isLast ? index + 1 : next is null ? null : batches.Block(next.Value).First);
            var (loss, weight) = training ? Train(new Pass(operation.Step, index, batch), node, isLast ? onFinal : null, onTop) : Evaluate(batch, metrics);
            lossSum += loss;
            weightSum = checked(weightSum + weight);
            afterMicroBatch();
        }

        var header = new NodeHeader(lossSum, weightSum, training && _noise is not null ? _noise.OfBlock(node, weightSum) : metrics);
        node.Header = onTop ? NodeHeader.Add(node.Header, header) : header;
    }

    /// <summary>Has the first micro-batch of an operation loaded as soon as nothing of the one under way is left to be loaded. From any thread.</summary>
    /// <param name="operation">The operation that is computed next.</param>
    /// <param name="block">The block that is computed first.</param>
    public void Expect(Operation operation, int block) => _batches.Expect(BatchKey.Of(operation, operation.Batches.Block(block).First));

    /// <summary>Forgets what was loaded for blocks that are not going to be computed now; no data are being loaded when this returns.</summary>
    public void ForgetExpected() => _batches.Forget();

    /// <summary>Updates the weights from a whole reduced step: all of them, or none.</summary>
    /// <param name="reduced">Sums of gradients.</param>
    /// <param name="header">The root's header.</param>
    /// <param name="tileSquares">Sum of squares of every tile of <paramref name="reduced"/>.</param>
    /// <param name="learningRate">The step's rate.</param>
    /// <param name="globalBatch">The step's global batch, which other numbers of the rule may follow.</param>
    public AppliedStep Apply(NativeVector reduced, NodeHeader header, ReadOnlySpan<double> tileSquares, double learningRate, long globalBatch)
    {
        var (tiles, tile, squares, finite) = (Layout.Tiles, 0, 0.0, true);
        foreach (var slot in Layout.Slots)
        {
            for (var end = slot.Offset + slot.Count; tile < tiles.Count && tiles.Start(tile) < end; tile++)
            {
                finite &= double.IsFinite(tileSquares[tile]);
                squares += slot.Kind == SlotKind.Parameter ? tileSquares[tile] : 0;
            }
        }

        if (header.Weight == 0 || !finite)
        {
            return new AppliedStep(Skipped: true, finite ? 0 : double.NaN);
        }

        var norm = Math.Sqrt(squares) / header.Weight;
        var (weight, clip) = ((float)header.Weight, ClipFactor(norm));
        var noise = _noise?.OfStep(reduced, header, squares);
        _optimizer.BeginStep(_scaling.Of(learningRate, globalBatch));
        tile = 0;
        foreach (var slot in Layout.Slots)
        {
            var factors = FactorsOf(slot, tile, reduced, new UpdateFactors(weight, clip, (float)learningRate, DecayOf(slot)), learningRate);
            for (var end = slot.Offset + slot.Count; tile < tiles.Count && tiles.Start(tile) < end; tile++)
            {
                var state = _model.Weights.Span(tiles.Start(tile), tiles.Length(tile));
                var sum = reduced.Span(tiles.Start(tile), tiles.Length(tile));
                if (slot.Kind == SlotKind.Parameter)
                {
                    _optimizer.Update(tiles.Start(tile), state, sum, factors);
                    Average(tiles.Start(tile), state);
                }
                else if (slot.Kind != SlotKind.Frozen)
                {
                    ModelBuffers.Update(slot.Kind, state, sum, weight);
                }

                _hash.Take(tile, state);
            }
        }

        _hash.Complete();
        _model.WeightsChanged();
        _noise?.StateChanged();
        return new AppliedStep(Skipped: false, norm, noise?.Plain, noise?.Preconditioned);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _batches.Dispose();
        _watch?.Dispose();
        _model.Dispose();
        _optimizer.Dispose();
        _average?.Dispose();
        _noise?.Dispose();
    }

    /// <summary>As torch.nn.utils.clip_grad_norm_ documents: the factor that brings the norm down to the limit, at most 1.</summary>
    private float ClipFactor(double norm) =>
        _options.Clip.GlobalNorm == 0 ? 1 : (float)Math.Min(1, _options.Clip.GlobalNorm / (norm + 1e-6));

    /// <summary>average = decay * average + (1 - decay) * weights (B. Polyak, A. Juditsky 1992, in its exponential form).</summary>
    private void Average(long offset, ReadOnlySpan<float> weights)
    {
        if (_average is null)
        {
            return;
        }

        var average = _average.Span(offset, weights.Length);
        var (keep, add) = ((float)_options.Average.Decay, (float)(1 - _options.Average.Decay));
        for (var i = 0; i < weights.Length; i++)
        {
            average[i] = (average[i] * keep) + (weights[i] * add);
        }
    }

    /// <summary>Biases and the gains of norms have one dimension; pulling them to zero is rarely meant.</summary>
    private float DecayOf(Slot slot) =>
        _options.Optimizer.DecayMatricesOnly && slot.Shape.Count < 2 ? 0 : (float)_options.Optimizer.WeightDecay;

    /// <summary>
    /// Where the rule goes by norms, the rate is that of the parameter, from its tiles in index order. Biases and the gains of norms, which have one dimension, keep the
    /// step's rate: their own size says nothing about how far they should go.
    /// </summary>
    private UpdateFactors FactorsOf(Slot slot, int tile, NativeVector reduced, UpdateFactors factors, double learningRate)
    {
        if (_optimizer is not ILayerWiseOptimizer rule || slot.Kind != SlotKind.Parameter)
        {
            return factors;
        }

        var (tiles, squares) = (Layout.Tiles, default(LayerSquares));
        for (var end = slot.Offset + slot.Count; tile < tiles.Count && tiles.Start(tile) < end; tile++)
        {
            var (start, length) = (tiles.Start(tile), tiles.Length(tile));
            squares += rule.Measure(start, _model.Weights.Span(start, length), reduced.Span(start, length), factors);
        }

        if (slot.Shape.Count < 2)
        {
            return factors;
        }

        var ratio = rule.Ratio(squares, factors);
        return factors with { Rate = (float)(learningRate * ratio), Ratio = (float)ratio };
    }

    private (double Loss, long Weight) Evaluate(TensorBatch batch, Span<double> metrics)
    {
        _model.Module.eval();
        _model.Buffers.Restore();
        using var noGradient = no_grad();
        var loss = _task.Evaluate(_model.Module, batch, metrics);
        return (loss.Sum.ToDouble(), loss.Weight);
    }

    private TensorBatch Load(Operation operation, long microBatch, long? next) =>
        Device.Take(_batches.Take(BatchKey.Of(operation, microBatch), next is null ? null : BatchKey.Of(operation, next.Value)));
}
