using System.Runtime.ExceptionServices;
using DistTrain.Core.Layouts;
using DistTrain.Training.Native;
using static TorchSharp.torch;

namespace DistTrain.Training.Replicas;

/// <summary>
/// Learns, while a backward pass runs, which gradients are final. A pass adds to the gradient of each parameter once, in place, when every use of the parameter has been differentiated; torch
/// counts what is done in place to a tensor, after it is done. So a thread of its own looks at the counts: the model is as the user built it, whatever its layers are.
/// </summary>
internal sealed class GradientWatch : IDisposable
{
    /// <summary>Passes that take less are not worth a look.</summary>
    private const int PeriodMilliseconds = 1;

    private readonly ParameterLayout _layout;
    private readonly (int Slot, int Additions)[] _parts;
    private readonly long[] _expected;
    private readonly object _gate = new();
    private readonly Thread _thread;
    private Tensor[] _gradients = [];
    private Action<int> _onFinal = _ => { };
    private int _unfinished;
    private bool _isPassing;
    private bool _isOver;
    private ExceptionDispatchInfo? _failure;

    /// <summary>A watch that does not watch yet.</summary>
    /// <param name="layout">Where the parameters lie.</param>
    /// <param name="parts">The slots that get a gradient, and how many parameters each is the gradient of.</param>
    public GradientWatch(ParameterLayout layout, IEnumerable<(int Slot, int Additions)> parts)
    {
        _layout = layout;
        _parts = [.. parts];
        AddsOnce = Array.TrueForAll(_parts, p => p.Additions == 1);
        _expected = new long[_parts.Length];
        _thread = new Thread(Work) { Name = "gradients", IsBackground = true };
        _thread.Start();
    }

    /// <summary>Whether a pass adds once to every gradient, as no two parameters share one.</summary>
    public bool AddsOnce { get; }

    /// <summary>Called ahead of a backward pass, which <see cref="End"/> follows.</summary>
    /// <param name="gradients">The gradients it adds to, by slot, in host memory.</param>
    /// <param name="onFinal">Told on another thread of every slot whose gradient is final; null for nobody.</param>
    public void Begin(Tensor[] gradients, Action<int>? onFinal)
    {
        lock (_gate)
        {
            (_gradients, _unfinished, _failure) = (gradients, _parts.Length, null);
            Expect(gradients);
            if (onFinal is not null)
            {
                (_onFinal, _isPassing) = (onFinal, true);
                Monitor.Pulse(_gate);
            }
        }
    }

    /// <summary>Called when the pass is over, whatever came of it: nobody is told any more when this returns.</summary>
    public void End()
    {
        lock (_gate)
        {
            _isPassing = false;
        }
    }

    /// <summary>Sees, after <see cref="End"/>, that the pass has added to every gradient once, or not at all.</summary>
    /// <exception cref="InvalidOperationException">A gradient was changed more than once, or after it was final.</exception>
    /// <exception cref="Exception">What the listener threw.</exception>
    public void Check()
    {
        _failure?.Throw();
        for (var i = 0; i < _parts.Length; i++)
        {
            // What was not seen to be final may have got no gradient.
            var version = TensorVersion.Of(_gradients[_parts[i].Slot]);
            if (i < _unfinished ? version > _expected[i] : version != _expected[i])
            {
                throw Changed(_parts[i].Slot);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _isOver = true;
            Monitor.Pulse(_gate);
        }

        _thread.Join();
    }

    private void Work()
    {
        lock (_gate)
        {
            while (!_isOver)
            {
                // Nobody wakes it at the end of a pass: that would cost the pass more than a look at nothing costs here.
                if (Monitor.Wait(_gate, _isPassing && _unfinished > 0 ? PeriodMilliseconds : Timeout.Infinite) || !_isPassing)
                {
                    continue;
                }

                try
                {
                    Look();
                }
                catch (Exception exception)
                {
                    (_failure, _unfinished) = (ExceptionDispatchInfo.Capture(exception), 0);
                }
            }
        }
    }

    private void Look()
    {
        for (var i = 0; i < _unfinished;)
        {
            if (TensorVersion.Of(_gradients[_parts[i].Slot]) < _expected[i])
            {
                i++;
                continue;
            }

            // What is final goes to the end.
            _unfinished--;
            (_parts[i], _parts[_unfinished]) = (_parts[_unfinished], _parts[i]);
            (_expected[i], _expected[_unfinished]) = (_expected[_unfinished], _expected[i]);
            _onFinal(_parts[_unfinished].Slot);
        }
    }

    private void Expect(Tensor[] gradients)
    {
        for (var i = 0; i < _parts.Length; i++)
        {
            _expected[i] = TensorVersion.Of(gradients[_parts[i].Slot]) + _parts[i].Additions;
        }
    }

    private InvalidOperationException Changed(int slot) => new(
        $"The gradient of {_layout.Slots[slot].Name} was changed after the backward pass had added to it, when it may have been sent or added to others already. "
        + "Let the task's loss and its functions leave the gradients of parameters to the backward pass.");
}
