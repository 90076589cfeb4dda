using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Models;

/// <summary>
/// A small convolutional network for grey images: two times (convolution 3 x 3, ReLU, maximum over 2 x 2), one hidden
/// layer with ReLU and dropout, then the classes.
/// </summary>
/// <remarks>
/// Input [n, 1, height, width]; output [n, classes], the logits. The same form as LeNet-5 (Y. LeCun et al., Proc. IEEE
/// 86(11), 1998).
/// </remarks>
public sealed class Cnn : nn.Module<Tensor, Tensor>
{
    /// <summary>The smallest height and width: each of two poolings halves them.</summary>
    public const int SmallestSide = 4;

    private const int Channels1 = 32;
    private const int Channels2 = 64;
    private readonly Conv2d _conv1;
    private readonly Conv2d _conv2;
    private readonly Linear _hidden;
    private readonly Linear _output;
    private readonly Dropout? _dropout;

    /// <summary>Draws the weights from torch's generator (Kaiming uniform, as torch does by default).</summary>
    /// <param name="height">Rows of an image, at least <see cref="SmallestSide"/>.</param>
    /// <param name="width">Columns of an image, at least <see cref="SmallestSide"/>.</param>
    /// <param name="classes">How many classes there are.</param>
    /// <param name="hidden">Width of the hidden layer.</param>
    /// <param name="dropout">Probability of a hidden value to be dropped, 0 (no dropout layer) up to but not 1.</param>
    public Cnn(int height, int width, long classes, long hidden = 128, double dropout = 0)
        : base(nameof(Cnn))
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, SmallestSide);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, SmallestSide);
        _conv1 = nn.Conv2d(1, Channels1, kernel_size: 3, padding: 1);
        _conv2 = nn.Conv2d(Channels1, Channels2, kernel_size: 3, padding: 1);
        _hidden = nn.Linear((long)Channels2 * (height / 4) * (width / 4), hidden);
        _output = nn.Linear(hidden, classes);
        _dropout = dropout > 0 ? nn.Dropout(dropout) : null;
        register_module("conv1", _conv1);
        register_module("conv2", _conv2);
        register_module("hidden", _hidden);
        register_module("output", _output);
        if (_dropout is not null)
        {
            register_module("dropout", _dropout);
        }
    }

    /// <inheritdoc/>
    public override Tensor forward(Tensor input)
    {
        using var scope = NewDisposeScope();
        // Pooling and ReLU commute, bit for bit, and ReLU on a quarter of the values is cheaper.
        var x = nn.functional.relu(nn.functional.max_pool2d(_conv1.call(input), 2));
        x = nn.functional.relu(nn.functional.max_pool2d(_conv2.call(x), 2));
        x = nn.functional.relu(_hidden.call(x.flatten(1)));
        x = _dropout is null ? x : _dropout.call(x);
        return _output.call(x).MoveToOuterDisposeScope();
    }
}
