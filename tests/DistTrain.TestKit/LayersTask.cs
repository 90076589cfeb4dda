using DistTrain.Training.Tasks;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.TestKit;

/// <summary>
/// Two layers of some width, of which the second's gradients are final while the backward pass has still to come to the first's: a call stands between the two. Names put the first layer's
/// parameters ahead of the second's.
/// </summary>
/// <param name="width">Width of the layers.</param>
/// <param name="between">Called in every backward pass, when it has added the second layer's gradients and none of the first's. What it throws is kept in <see cref="Failure"/>.</param>
/// <param name="isTied">Whether both layers have one weight.</param>
public sealed class LayersTask(long width, Action between, bool isTied = false) : ITrainingTask
{
    /// <summary>Samples there are.</summary>
    public const int Samples = 64;

    /// <inheritdoc/>
    public IDataset Training { get; } = new Waves(width);

    /// <inheritdoc/>
    public IDataset Validation { get; } = new Waves(width);

    /// <inheritdoc/>
    public IReadOnlyList<string> Metrics => [];

    /// <summary>What the call between the layers threw, if anything.</summary>
    public Exception? Failure { get; private set; }

    /// <inheritdoc/>
    public nn.Module BuildModel() => new Layers(width, Between, isTied);

    /// <inheritdoc/>
    public LossSum Loss(nn.Module model, TensorBatch batch) => new(((nn.Module<Tensor, Tensor>)model).call(batch.Inputs).square().sum(), batch.Targets.shape[0]);

    /// <inheritdoc/>
    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => Loss(model, batch);

    /// <inheritdoc/>
    public void Dispose()
    {
    }

    private void Between()
    {
        try
        {
            between();
        }
        catch (Exception exception)
        {
            Failure = exception;
        }
    }

    private sealed class Layers : nn.Module<Tensor, Tensor>
    {
        private readonly Linear _first;
        private readonly Linear _second;
        private readonly Action _between;
        private readonly bool _isTied;

        public Layers(long width, Action between, bool isTied)
            : base(nameof(Layers))
        {
            (_between, _isTied) = (between, isTied);
            _first = nn.Linear(width, width);
            _second = nn.Linear(width, width);
            register_module("first", _first);
            register_module("second", _second);
        }

        public override Tensor forward(Tensor input)
        {
            using var scope = NewDisposeScope();
            var x = Stop.apply([_between, _first.call(input).tanh()]);
            return (_isTied ? nn.functional.linear(x, _first.weight!, _second.bias) : _second.call(x)).MoveToOuterDisposeScope();
        }
    }

    /// <summary>Hands its input on, and makes the call on the way back.</summary>
    private sealed class Stop : autograd.SingleTensorFunction<Stop>
    {
        public override string Name => nameof(Stop);

        public override Tensor forward(autograd.AutogradContext ctx, params object[] vars)
        {
            ctx.save_data(Name, vars[0]);
            return ((Tensor)vars[1]).alias();
        }

        public override List<Tensor> backward(autograd.AutogradContext ctx, Tensor grad_output)
        {
            ((Action)ctx.get_data(Name))();
            return [null!, grad_output.alias()];
        }
    }

    private sealed class Waves(long width) : IDataset
    {
        public long Count => Samples;

        public string Fingerprint => $"waves of {width}";

        public TensorBatch Load(ReadOnlySpan<long> samples)
        {
            var inputs = new float[samples.Length * width];
            for (var i = 0; i < inputs.Length; i++)
            {
                inputs[i] = MathF.Sin((samples[(int)(i / width)] * 31) + (i % width));
            }

            return new TensorBatch(tensor(inputs, samples.Length, width), zeros(samples.Length, ScalarType.Int64));
        }
    }
}
