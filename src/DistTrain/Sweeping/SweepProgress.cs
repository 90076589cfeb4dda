using DistTrain.Core.BatchScience;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Sweeping;

/// <summary>Tells people how far a sweep has come: a line for each run that is done, and one now and then between them.</summary>
/// <param name="output">Where it is told.</param>
/// <param name="cells">How many runs the sweep has.</param>
/// <param name="samples">The samples of a run.</param>
/// <param name="time">The clock.</param>
internal sealed class SweepProgress(TextWriter output, int cells, long samples, TimeProvider time)
{
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);

    private readonly Lock _gate = new();
    private readonly Dictionary<SweepCell, double> _running = [];
    private readonly long _began = time.GetTimestamp();
    private long _spoken = time.GetTimestamp();
    private int _done;
    private double _doneBefore;

    /// <summary>A run was done before the sweep began.</summary>
    public void Found()
    {
        lock (_gate)
        {
            _done++;
            _doneBefore++;
        }
    }

    /// <summary>Follows a run.</summary>
    public IRunViewer Watch(SweepCell cell, bool resumes)
    {
        lock (_gate)
        {
            _running[cell] = 0;
            if (resumes)
            {
                Say($"{Title(cell)}: goes on where it was.");
            }
        }

        return new Viewer(this, cell);
    }

    /// <summary>A run is done.</summary>
    public void Done(CellResult result)
    {
        lock (_gate)
        {
            var cell = result.Outcome.Cell;
            _running.Remove(cell);
            _done++;
            var how = result.Outcome.HasDiverged ? $"diverged after {Words.Count(result.Steps, "step")}"
                : $"validation loss {Words.Number(result.Outcome.FinalLoss)} after {Words.Count(result.Steps, "step")}, {Words.Span(TimeSpan.FromSeconds(double.IsNaN(result.WallSeconds) ? 0 : result.WallSeconds))}";
            Say($"{_done} of {cells}  {Title(cell)}: {how}.{Left()}");
        }
    }

    /// <summary>What people call a run.</summary>
    public static string Title(SweepCell cell) => $"{cell.Optimizer}, batch {cell.Batch:N0}, rate {Words.Number(cell.Rate)}{(cell.Seed == 0 ? "" : $", seed + {cell.Seed}")}";

    private void Note(SweepCell cell, V1.StepDone step)
    {
        lock (_gate)
        {
            if (_running.ContainsKey(cell))
            {
                _running[cell] = Math.Min(1, (double)step.Samples / samples);
            }

            if (time.GetElapsedTime(_spoken) >= Silence)
            {
                Say($"{_done} of {cells} done; {string.Join("; ", _running.Select(r => $"{Title(r.Key)} at {r.Value:P0}"))}.{Left()}");
            }
        }
    }

    private string Left()
    {
        var (passed, now) = (time.GetElapsedTime(_began), _done - _doneBefore + _running.Values.Sum());
        return now < 0.5 || _done == cells ? "" : $" {Words.Span(TimeSpan.FromSeconds(Math.Min(passed.TotalSeconds / now * (cells - _doneBefore - now), 1e8)))} left.";
    }

    private void Say(string line)
    {
        _spoken = time.GetTimestamp();
        output.WriteLine(line);
    }

    private sealed class Viewer(SweepProgress progress, SweepCell cell) : IRunViewer
    {
        public void Show(V1.RunEvent happened)
        {
            if (happened.Step is { } step)
            {
                progress.Note(cell, step);
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
