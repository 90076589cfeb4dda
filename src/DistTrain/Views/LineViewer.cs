using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Views;

/// <summary>Plain lines, for pipes and files: start, progress now and then, each evaluation and happening.</summary>
internal sealed class LineViewer(TextWriter output, TimeProvider time) : IRunViewer
{
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(5);
    private const double Stride = 0.1;

    private readonly Lock _gate = new();
    private RunView _view = new();
    private long _spoken = time.GetTimestamp();
    private double _spokenProgress;

    /// <inheritdoc/>
    public void Show(V1.RunEvent happened)
    {
        lock (_gate)
        {
            _view = _view.With(happened);
            if (Line(happened) is { } line)
            {
                output.WriteLine(line);
                output.Flush();
            }
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private string? Line(V1.RunEvent happened)
    {
        switch (happened.BodyCase)
        {
            case V1.RunEvent.BodyOneofCase.Started:
                return Words.Frame(_view);
            case V1.RunEvent.BodyOneofCase.Evaluation:
                return $"step {happened.Evaluation.Step}: {Words.Validation(_view)}" + (_view.NoiseAdvice.Length == 0 ? "" : $"{Environment.NewLine}{_view.NoiseAdvice}");
            case V1.RunEvent.BodyOneofCase.Happening:
                return happened.Happening.Sentence;
            case V1.RunEvent.BodyOneofCase.Step
                when _view.Progress - _spokenProgress >= Stride - 1e-9 || time.GetElapsedTime(_spoken) >= Silence:
                _spoken = time.GetTimestamp();
                _spokenProgress = _view.Progress;
                return Words.Step(_view);
            default:
                return null;
        }
    }
}
