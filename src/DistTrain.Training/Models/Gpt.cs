using DistTrain.Training.Activations;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Models;

/// <summary>The size of a <see cref="Gpt"/>.</summary>
/// <param name="Vocabulary">How many tokens there are.</param>
/// <param name="Window">The most tokens that are read at once.</param>
/// <param name="Width">Numbers per token, a multiple of <paramref name="Heads"/>.</param>
/// <param name="Layers">Blocks.</param>
/// <param name="Heads">Heads of each block's attention.</param>
/// <param name="Dropout">Probability of an activation to be dropped, 0 up to but not 1.</param>
public sealed record GptSize(long Vocabulary, int Window, int Width, int Layers, int Heads, double Dropout);

/// <summary>
/// A decoder-only transformer with norms ahead of its layers and one matrix for reading and for predicting tokens (A. Radford et al., "Language Models
/// are Unsupervised Multitask Learners", 2019; O. Press, L. Wolf, arXiv 1608.05859 for the tied matrix).
/// </summary>
/// <remarks>Input int64 [n, t] with t up to the window; output fp32 [n, t, vocabulary], the logits of the next token.</remarks>
public sealed class Gpt : nn.Module<Tensor, Tensor>
{
    private const double InitialDeviation = 0.02;
    private readonly Embedding _tokens;
    private readonly Embedding _places;
    private readonly Dropout _dropout;
    private readonly List<GptBlock> _blocks = [];
    private readonly LayerNorm _norm;

    /// <summary>Draws the weights from torch's generator.</summary>
    public Gpt(GptSize size)
        : base(nameof(Gpt))
    {
        _tokens = nn.Embedding(size.Vocabulary, size.Width);
        _places = nn.Embedding(size.Window, size.Width);
        _dropout = nn.Dropout(size.Dropout);
        _norm = nn.LayerNorm(size.Width);
        register_module("tokens", _tokens);
        register_module("places", _places);
        register_module("dropout", _dropout);
        for (var layer = 0; layer < size.Layers; layer++)
        {
            var block = new GptBlock(size);
            register_module($"block{layer}", block);
            _blocks.Add(block);
        }

        register_module("norm", _norm);
        foreach (var (name, parameter) in named_parameters().Where(p => p.parameter.dim() == 2))
        {
            // What is added to the residual stream is scaled down by its number of summands (Radford et al., section 2.3).
            var residual = name.EndsWith("project.weight", StringComparison.Ordinal);
            nn.init.normal_(parameter, 0, residual ? InitialDeviation / Math.Sqrt(2.0 * size.Layers) : InitialDeviation);
        }
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = _dropout.call(_tokens.call(input) + _places.call(arange(input.shape[1], ScalarType.Int64, input.device)));
        x = ActivationCheckpoints.RunSequential(_blocks, x);
        return nn.functional.linear(_norm.call(x), _tokens.weight!).MoveToOuterDisposeScope();
    }
}

/// <summary>Attention to the tokens before, then two layers for each token by itself.</summary>
public sealed class GptBlock : nn.Module<Tensor, Tensor>
{
    private readonly int _heads;
    private readonly double _attentionDropout;
    private readonly LayerNorm _norm1;
    private readonly Linear _attend;
    private readonly Linear _project;
    private readonly LayerNorm _norm2;
    private readonly Sequential _think;

    internal GptBlock(GptSize size)
        : base(nameof(GptBlock))
    {
        _heads = size.Heads;
        _attentionDropout = size.Dropout;
        _norm1 = nn.LayerNorm(size.Width);
        _attend = nn.Linear(size.Width, 3L * size.Width);
        _project = nn.Linear(size.Width, size.Width);
        _norm2 = nn.LayerNorm(size.Width);
        _think = nn.Sequential(
            ("expand", nn.Linear(size.Width, 4L * size.Width)),
            ("gelu", nn.GELU()),
            ("project", nn.Linear(4L * size.Width, size.Width)),
            ("dropout", nn.Dropout(size.Dropout)));
        register_module("norm1", _norm1);
        register_module("attend", _attend);
        register_module("project", _project);
        register_module("norm2", _norm2);
        register_module("think", _think);
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var (n, t, width) = (input.shape[0], input.shape[1], input.shape[2]);
        var parts = _attend.call(_norm1.call(input)).view(n, t, 3, _heads, width / _heads).permute(2, 0, 3, 1, 4).unbind(0);
        var attended = nn.functional.scaled_dot_product_attention(
            parts[0], parts[1], parts[2], p: training ? _attentionDropout : 0, is_casual: true);
        var x = input + _project.call(attended.transpose(1, 2).reshape(n, t, width));
        return (x + _think.call(_norm2.call(x))).MoveToOuterDisposeScope();
    }
}
