using DistTrain.Training.Activations;
using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Models;

/// <summary>Which normalisation a model has after its convolutions.</summary>
public enum NormKind
{
    /// <summary>
    /// Over all samples of a micro-batch, with running statistics for evaluation (S. Ioffe, C. Szegedy, arXiv 1502.03167): what it computes depends on the
    /// size of the micro-batch, never on the number of workers.
    /// </summary>
    Batch,

    /// <summary>Over groups of channels within each sample (Y. Wu, K. He, arXiv 1803.08494): independent of the micro-batch.</summary>
    Group,
}

/// <summary>
/// A small residual network for grey images (K. He et al., arXiv 1512.03385, section 4.2): a convolution, three stages of blocks that halve the sides
/// and double the channels, the mean over what is left, then the classes.
/// </summary>
/// <remarks>Input [n, 1, height, width]; output [n, classes], the logits.</remarks>
public sealed class ResNet : nn.Module<Tensor, Tensor>
{
    private const int Stages = 3;
    private readonly Conv2d _stem;
    private readonly nn.Module<Tensor, Tensor> _norm;
    private readonly List<ResidualBlock> _blocks = [];
    private readonly Linear _output;

    /// <summary>Draws the weights from torch's generator.</summary>
    /// <param name="classes">How many classes there are.</param>
    /// <param name="width">Channels of the first stage, a multiple of <see cref="ResidualBlock.ChannelsPerGroup"/>.</param>
    /// <param name="depth">Blocks of each stage, at least 1.</param>
    /// <param name="norm">The normalisation.</param>
    public ResNet(long classes, int width = 16, int depth = 1, NormKind norm = NormKind.Batch)
        : base(nameof(ResNet))
    {
        _stem = nn.Conv2d(1, width, kernel_size: 3, padding: 1, bias: false);
        _norm = ResidualBlock.Norm(norm, width);
        register_module("stem", _stem);
        register_module("norm", _norm);
        var channels = width;
        for (var stage = 0; stage < Stages; stage++)
        {
            for (var index = 0; index < depth; index++)
            {
                var halves = stage > 0 && index == 0;
                var block = new ResidualBlock(channels, halves ? 2 * channels : channels, halves ? 2 : 1, norm);
                channels = halves ? 2 * channels : channels;
                register_module($"stage{stage}_{index}", block);
                _blocks.Add(block);
            }
        }

        _output = nn.Linear(channels, classes);
        register_module("output", _output);
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = nn.functional.relu(_norm.call(_stem.call(input)));
        x = ActivationCheckpoints.RunSequential(_blocks, x);
        return _output.call(x.mean([2L, 3L])).MoveToOuterDisposeScope();
    }
}

/// <summary>Two convolutions 3 x 3 around which the input is carried (the basic block of K. He et al.).</summary>
public sealed class ResidualBlock : nn.Module<Tensor, Tensor>
{
    /// <summary>Channels that <see cref="NormKind.Group"/> normalises together.</summary>
    public const int ChannelsPerGroup = 4;

    private readonly Conv2d _conv1;
    private readonly Conv2d _conv2;
    private readonly nn.Module<Tensor, Tensor> _norm1;
    private readonly nn.Module<Tensor, Tensor> _norm2;
    private readonly Conv2d? _shortcut;

    internal ResidualBlock(int channelsIn, int channelsOut, int stride, NormKind norm)
        : base(nameof(ResidualBlock))
    {
        _conv1 = nn.Conv2d(channelsIn, channelsOut, kernel_size: 3, stride: stride, padding: 1, bias: false);
        _conv2 = nn.Conv2d(channelsOut, channelsOut, kernel_size: 3, padding: 1, bias: false);
        _norm1 = Norm(norm, channelsOut);
        _norm2 = Norm(norm, channelsOut);
        _shortcut = channelsIn == channelsOut ? null : nn.Conv2d(channelsIn, channelsOut, kernel_size: 1, stride: stride, bias: false);
        register_module("conv1", _conv1);
        register_module("norm1", _norm1);
        register_module("conv2", _conv2);
        register_module("norm2", _norm2);
        if (_shortcut is not null)
        {
            register_module("shortcut", _shortcut);
        }
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        var x = nn.functional.relu(_norm1.call(_conv1.call(input)));
        x = _norm2.call(_conv2.call(x));
        return nn.functional.relu(x + (_shortcut is null ? input : _shortcut.call(input))).MoveToOuterDisposeScope();
    }

    internal static nn.Module<Tensor, Tensor> Norm(NormKind norm, int channels)
    {
        if (norm == NormKind.Batch)
        {
            return nn.BatchNorm2d(channels);
        }

        // TorchSharp 0.107 leaves the gain and the offset of GroupNorm as it finds the memory.
        var group = nn.GroupNorm(Math.Max(1, channels / ChannelsPerGroup), channels);
        nn.init.ones_(group.weight!);
        nn.init.zeros_(group.bias!);
        return group;
    }
}
