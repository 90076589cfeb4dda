using System.ComponentModel.DataAnnotations;
using DistTrain;
using DistTrain.Training.Activations;
using DistTrain.Training.Models;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

return await new DistTrainApp(args)
    .AddTask<HiddenLayers, GeneratedSamples>("generated", context => new GeneratedTask(context.Model, context.Data))
    .RunAsync();

/// <summary>
/// The keys of <c>model</c>. <c>mlp</c> has h^2 + 268h + 10 parameters, so 875 makes 1.0 million and 4868 makes 25.0 million; <c>maps</c> has 65,547h + 650, so 381 makes 25.0 million, and
/// activations of megabytes a sample.
/// </summary>
internal sealed record HiddenLayers
{
    [AllowedValues("mlp", "maps")]
    public string Name { get; init; } = "";

    public int Hidden { get; init; } = 875;

    /// <summary>Blocks of <see cref="DeepModel"/>; none make an <see cref="Mlp"/>.</summary>
    public int Depth { get; init; }
}

/// <summary>The keys of <c>data</c>.</summary>
internal sealed record GeneratedSamples
{
    public string Name { get; init; } = "";

    public long Samples { get; init; } = 131_072;

    /// <summary>Bytes that every micro-batch leaves behind, for whoever has to show that a leak is found.</summary>
    public int Leak { get; init; }
}

/// <summary>A classification of data that take no memory, by a model of any size: what a worker holds is DistTrain's and the model's alone.</summary>
internal sealed class GeneratedTask(HiddenLayers layers, GeneratedSamples data) : ITrainingTask
{
    public IDataset Training { get; } = new Numbers(data.Samples, first: 0, data.Leak);

    public IDataset Validation { get; } = new Numbers(256, first: data.Samples);

    public IReadOnlyList<string> Metrics => [];

    public nn.Module BuildModel() => layers switch
    {
        { Name: "maps" } => Maps(layers.Hidden),
        { Depth: > 0 } => new DeepModel(Numbers.Inputs, Numbers.Classes, layers.Hidden, layers.Depth),
        _ => new Mlp(Numbers.Inputs, Numbers.Classes, layers.Hidden),
    };

    public LossSum Loss(nn.Module model, TensorBatch batch) =>
        new(nn.functional.cross_entropy(((nn.Module<Tensor, Tensor>)model).call(batch.Inputs), batch.Targets, reduction: nn.Reduction.Sum), batch.Targets.shape[0]);

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics) => Loss(model, batch);

    public void Dispose()
    {
    }

    /// <summary>The inputs as an image that is enlarged, 64 maps of it, and a layer that sees them all: few products for many activations.</summary>
    private static nn.Module Maps(int hidden) => nn.Sequential(
        nn.Unflatten(1, [1, 16, 16]), nn.Upsample(scale_factor: [8, 8]), nn.Conv2d(1, 64, kernel_size: 3, padding: 1), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(),
        nn.Linear(64 * 32 * 32, hidden), nn.ReLU(), nn.Linear(hidden, Numbers.Classes));
}

/// <summary>As many blocks of one width as are asked for: most of a worker's memory is activations, unless the blocks run in segments (<c>activationCheckpointing</c>).</summary>
internal sealed class DeepModel : nn.Module<Tensor, Tensor>
{
    private readonly nn.Module<Tensor, Tensor> _input;
    private readonly List<nn.Module<Tensor, Tensor>> _blocks = [];
    private readonly nn.Module<Tensor, Tensor> _output;

    public DeepModel(long inputs, long classes, long width, int depth)
        : base(nameof(DeepModel))
    {
        _input = nn.Linear(inputs, width);
        _output = nn.Linear(width, classes);
        register_module("input", _input);
        register_module("output", _output);
        for (var i = 0; i < depth; i++)
        {
            _blocks.Add(nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width), nn.GELU(), nn.Dropout(0.1)));
            register_module($"block{i}", _blocks[i]);
        }
    }

    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = ActivationCheckpoints.RunSequential(_blocks, _input.call(input));
        return _output.call(x).MoveToOuterDisposeScope();
    }
}

/// <summary>Samples made from their number: the class is its remainder, which the inputs show.</summary>
internal sealed class Numbers(long count, long first, int leak = 0) : IDataset
{
    public const int Inputs = 256;
    public const int Classes = 10;

    private readonly List<byte[]> _left = [];

    public long Count => count;

    public string Fingerprint => $"{first}+{count} of {Inputs}/{Classes}";

    public TensorBatch Load(ReadOnlySpan<long> samples)
    {
        if (leak > 0)
        {
            _left.Add(new byte[leak]);
        }

        var inputs = new float[samples.Length * Inputs];
        var targets = new long[samples.Length];
        for (var i = 0; i < samples.Length; i++)
        {
            var number = first + samples[i];
            targets[i] = number % Classes;
            for (var j = 0; j < Inputs; j++)
            {
                inputs[(i * Inputs) + j] = (j + number) % Classes / (float)Classes;
            }
        }

        return new TensorBatch(tensor(inputs, samples.Length, Inputs), tensor(targets));
    }
}
