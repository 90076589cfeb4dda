using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using DistTrain.Training.Data;
using DistTrain.Training.Models;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cli.Tasks;

/// <summary>The keys of <c>model</c>.</summary>
public sealed record LanguageModelOptions
{
    [Description("gpt"), AllowedValues("gpt")]
    public string Name { get; init; } = "gpt";

    [Description("bytes that are read at once"), Range(1, 65_536)]
    public int Window { get; init; } = 128;

    [Description("numbers per byte; model.heads has to divide it"), Range(1, 65_536)]
    public int Width { get; init; } = 128;

    [Description("blocks"), Range(1, 1024)]
    public int Layers { get; init; } = 4;

    [Description("heads of each block's attention"), Range(1, 1024)]
    public int Heads { get; init; } = 4;

    [Description("probability that an activation is dropped"), Range(0.0, 0.95)]
    public double Dropout { get; init; }
}

/// <summary>The keys of <c>data</c>.</summary>
public sealed record TextOptions
{
    [Description("devils-dictionary, or file"), AllowedValues("devils-dictionary", "file")]
    public string Name { get; init; } = "devils-dictionary";

    [Description("the text file, for file")]
    public string? Path { get; init; }
}

/// <summary>The next byte of a text is predicted. Cross entropy in nats per byte, weighted by bytes; metric <c>accuracy</c>.</summary>
internal sealed class LanguageModel : ITrainingTask
{
    private const int Bytes = 256;
    private readonly GptSize _size;
    private readonly TextData _text;

    public LanguageModel(TaskContext<LanguageModelOptions, TextOptions> context)
    {
        var model = context.Model;
        if (model.Width % model.Heads != 0)
        {
            throw new DataException($"model.width is {model.Width} and model.heads is {model.Heads}: choose heads that divide the width.");
        }

        _size = new GptSize(Bytes, model.Window, model.Width, model.Layers, model.Heads, model.Dropout);
        _text = context.Data switch
        {
            { Name: "file", Path: null or "" } => throw new DataException("data.path is not set: set it to a text file."),
            { Name: "file" } => TextData.FromFile(context.Data.Path!, model.Window),
            _ => TextData.DevilsDictionary(model.Window),
        };
    }

    public IDataset Training => _text.Training;

    public IDataset Validation => _text.Validation;

    public IReadOnlyList<string> Metrics { get; } = ["accuracy"];

    public nn.Module BuildModel() => new Gpt(_size);

    public LossSum Loss(nn.Module model, TensorBatch batch)
    {
        using var scope = NewDisposeScope();
        return SumOf(((nn.Module<Tensor, Tensor>)model).call(batch.Inputs), batch);
    }

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var logits = ((nn.Module<Tensor, Tensor>)model).call(batch.Inputs);
        metrics[0] += logits.argmax(-1).eq(batch.Targets).sum().ToInt64();
        return SumOf(logits, batch);
    }

    public void Dispose()
    {
    }

    private static LossSum SumOf(Tensor logits, TensorBatch batch)
    {
        var loss = nn.functional.cross_entropy(
            logits.view(-1, Bytes), batch.Targets.view(-1), ignore_index: TextDataset.Ignored, reduction: nn.Reduction.Sum);
        return new LossSum(loss.MoveToOuterDisposeScope(), batch.Targets.ne(TextDataset.Ignored).sum().ToInt64());
    }
}
