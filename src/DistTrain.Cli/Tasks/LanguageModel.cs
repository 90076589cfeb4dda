using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Text;
using DistTrain.Core.Numerics;
using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Models;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cli.Tasks;

/// <summary>The keys of <c>model</c>.</summary>
public sealed record LanguageModelOptions : IOptionRelations
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

    /// <inheritdoc/>
    public IEnumerable<OptionProblem> Validate()
    {
        if (Width % Heads != 0)
        {
            yield return new OptionProblem("heads", $"{Heads}", $"must divide model.width, which is {Width}");
        }
    }
}

/// <summary>The keys of <c>data</c>.</summary>
public sealed record TextOptions : IOptionRelations
{
    private const string File = "file";

    [Description("devils-dictionary, or file"), AllowedValues("devils-dictionary", File)]
    public string Name { get; init; } = "devils-dictionary";

    [Description("the text file, for file")]
    public string? Path { get; init; }

    /// <inheritdoc/>
    public IEnumerable<OptionProblem> Validate()
    {
        if (Name == File && string.IsNullOrEmpty(Path))
        {
            yield return OptionProblem.Missing("path", "set it to a text file");
        }
        else if (Name != File && !string.IsNullOrEmpty(Path))
        {
            yield return new OptionProblem("path", Path, $"has no effect with data.name {Name}; set data.name to {File}");
        }
    }
}

/// <summary>The next byte of a text is predicted. Cross entropy in nats per byte, weighted by bytes; metrics <c>accuracy</c> and <c>perplexity</c>.</summary>
internal sealed class LanguageModel : ITrainingTask, IPredictor
{
    private const int Bytes = 256;
    private readonly GptSize _size;
    private readonly TextData _text;

    public LanguageModel(TaskContext<LanguageModelOptions, TextOptions> context)
    {
        var model = context.Model;
        _size = new GptSize(Bytes, model.Window, model.Width, model.Layers, model.Heads, model.Dropout);
        _text = context.Data.Path is { Length: > 0 } path ? TextData.FromFile(path, model.Window) : TextData.DevilsDictionary(model.Window);
    }

    public IDataset Training => _text.Training;

    public IDataset Validation => _text.Validation;

    public IReadOnlyList<string> Metrics { get; } = ["accuracy"];

    public bool HasPerplexity => true;

    public IReadOnlyCollection<string> Takes { get; } =
        [nameof(PredictRequest.Prompt), nameof(PredictRequest.Length), nameof(PredictRequest.Temperature), nameof(PredictRequest.Seed)];

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

    /// <summary>The prompt and what follows it; without a prompt, what follows a line break. Bytes that are no UTF-8 are replaced,
    /// and so are control characters, which a terminal would obey, but for line breaks and tabs.</summary>
    public IEnumerable<Prediction> Predict(nn.Module model, PredictRequest request)
    {
        if (!string.IsNullOrEmpty(request.Prompt))
        {
            yield return new Prediction(request.Prompt);
        }

        List<byte> context = [.. Encoding.UTF8.GetBytes(request.Prompt is { Length: > 0 } prompt ? prompt : "\n")];
        var random = new CounterRandom(request.Seed);
        var decoder = Encoding.UTF8.GetDecoder();
        var characters = new char[4];
        for (var left = request.Length; left > 0; left--)
        {
            context.RemoveRange(0, Math.Max(0, context.Count - _size.Window));
            var next = Draw(Logits((nn.Module<Tensor, Tensor>)model, context), request.Temperature, random.NextWord());
            context.Add(next);
            var count = decoder.GetChars([next], characters, flush: left == 1);
            if (count > 0)
            {
                yield return new Prediction(new string(Array.ConvertAll(characters[..count], c => char.IsControl(c) && c is not ('\n' or '\t') ? '\uFFFD' : c)));
            }
        }
    }

    public void Dispose()
    {
    }

    /// <summary>The logits of the byte that follows.</summary>
    private static float[] Logits(nn.Module<Tensor, Tensor> model, List<byte> context)
    {
        using var scope = NewDisposeScope();
        var input = tensor(context.ConvertAll(b => (long)b)).unsqueeze(0);
        return model.call(input)[0, -1].data<float>().ToArray();
    }

    /// <summary>Draws a byte by its probability, softmax(logits / temperature).</summary>
    private static byte Draw(float[] logits, double temperature, ulong word)
    {
        var most = logits.Max();
        if (temperature == 0)
        {
            return (byte)Array.IndexOf(logits, most);
        }

        var weights = Array.ConvertAll(logits, logit => Math.Exp((logit - most) / temperature));
        var left = (word >> 11) * (1.0 / (1L << 53)) * weights.Sum();
        var drawn = 0;
        while (drawn < weights.Length - 1 && (left -= weights[drawn]) >= 0)
        {
            drawn++;
        }

        return (byte)drawn;
    }

    private static LossSum SumOf(Tensor logits, TensorBatch batch)
    {
        var loss = nn.functional.cross_entropy(
            logits.view(-1, Bytes), batch.Targets.view(-1), ignore_index: TextDataset.Ignored, reduction: nn.Reduction.Sum);
        return new LossSum(loss.MoveToOuterDisposeScope(), batch.Targets.ne(TextDataset.Ignored).sum().ToInt64());
    }
}
