using TorchSharp;
using TorchSharp.Modules;
using static TorchSharp.torch;

namespace DistTrain.Training.Models;

/// <summary>
/// A multilayer perceptron: two hidden layers of equal width, each with ReLU and dropout, then the classes.
/// </summary>
/// <remarks>Input [n, ...] with <c>inputs</c> values a sample, flattened; output [n, classes], the logits.</remarks>
public sealed class Mlp : nn.Module<Tensor, Tensor>
{
    private readonly Linear _hidden1;
    private readonly Linear _hidden2;
    private readonly Linear _output;
    private readonly Dropout? _dropout;

    /// <summary>Draws the weights from torch's generator (Kaiming uniform, as torch does by default).</summary>
    /// <param name="inputs">Values of a sample, at least 1.</param>
    /// <param name="classes">How many classes there are.</param>
    /// <param name="hidden">Width of the hidden layers.</param>
    /// <param name="dropout">Probability of a hidden value to be dropped, 0 (no dropout layer) up to but not 1.</param>
    public Mlp(long inputs, long classes, long hidden = 256, double dropout = 0)
        : base(nameof(Mlp))
    {
        _hidden1 = nn.Linear(inputs, hidden);
        _hidden2 = nn.Linear(hidden, hidden);
        _output = nn.Linear(hidden, classes);
        _dropout = dropout > 0 ? nn.Dropout(dropout) : null;
        register_module("hidden1", _hidden1);
        register_module("hidden2", _hidden2);
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
        var x = Drop(nn.functional.relu(_hidden1.call(input.flatten(1))));
        x = Drop(nn.functional.relu(_hidden2.call(x)));
        return _output.call(x).MoveToOuterDisposeScope();
    }

    private Tensor Drop(Tensor x) => _dropout is null ? x : _dropout.call(x);
}
