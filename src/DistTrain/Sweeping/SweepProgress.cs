using DistTrain.Core.BatchScience;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Sweeping;

/// <summary>Tells people how far a sweep has come: a line for each run that is done, and one now and then between them, with the time that is left once a run has shown how long one takes.</summary>
/// <param name="output">Where it is told.</param>
/// <param name="cells">How many runs the sweep has.</param>
/// <param name="samples">The samples of a run.</param>
/// <param name="time">The clock.</param>
internal sealed class SweepProgress(TextWriter output, int cells, long samples, TimeProvider time)
{
    private static readonly TimeSpan Silence = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan Longest = TimeSpan.FromDays(10_000);

    private readonly Lock _gate = new();
    private readonly Dictionary<SweepCell, CellViewer> _running = [];
    private readonly long _began = time.GetTimestamp();
    private long _spoken = time.GetTimestamp();
    private int _done;
    private int _trained;
    private long _trainedSamples;

    /// <summary>A run was done before the sweep began.</summary>
    public void Found()
    {
        lock (_gate)
        {
            _done++;
        }
    }

    /// <summary>Follows a run.</summary>
    /// <param name="cell">The run.</param>
    /// <param name="resumes">Whether an earlier command has trained a part of it.</param>
    public CellViewer Watch(SweepCell cell, bool resumes)
    {
        lock (_gate)
        {
            var viewer = _running[cell] = new CellViewer(this, cell, resumes);
            if (resumes)
            {
                Say($"{Title(cell)}: goes on where it was.");
            }

            return viewer;
        }
    }

    /// <summary>A run is done.</summary>
    public void Done(CellResult result)
    {
        lock (_gate)
        {
            var cell = result.Outcome.Cell;
            if (_running.Remove(cell, out var viewer))
            {
                _trained++;
                _trainedSamples += viewer.Trained;
            }

            _done++;
            var how = result.Outcome.HasDiverged ? $"diverged after {Words.Count(result.Steps, "step")}"
                : $"validation loss {Words.Number(result.Outcome.FinalLoss)} after {Words.Count(result.Steps, "step")} in {Words.Span(TimeSpan.FromSeconds(double.IsNaN(result.WallSeconds) ? 0 : result.WallSeconds))}";
            Say($"{_done} of {cells}  {Title(cell)}: {how}{Left()}");
        }
    }

    /// <summary>What people call a run.</summary>
    public static string Title(SweepCell cell) => $"{cell.Optimizer}, batch {cell.Batch:N0}, rate {Words.Number(cell.Rate)}{(cell.Seed == 0 ? "" : $", seed + {cell.Seed}")}";

    private void Note(CellViewer viewer, V1.StepDone step)
    {
        lock (_gate)
        {
            viewer.Note(step.Samples);
            if (time.GetElapsedTime(_spoken) >= Silence)
            {
                Say($"{_done} of {cells} done; {string.Join("; ", _running.Values.Select(r => $"{Title(r.Cell)} at {Math.Min(1, (double)r.Samples / samples):P0}"))}{Left()}");
            }
        }
    }

    /// <summary>By the samples that are still to be trained, and those that were trained a second, of all runs at a time. Before a run is done nothing is known of what one takes beside its steps.</summary>
    private string Left()
    {
        if (_trained == 0 || _done == cells)
        {
            return ".";
        }

        var toTrain = ((long)(cells - _done) * samples) - _running.Values.Sum(r => Math.Min(samples, r.Samples));
        var rate = (_trainedSamples + _running.Values.Sum(r => r.Trained)) / time.GetElapsedTime(_began).TotalSeconds;
        return rate > 0 ? $", {Words.Span(TimeSpan.FromSeconds(Math.Min(toTrain / rate, Longest.TotalSeconds)))} left." : ".";
    }

    private void Say(string line)
    {
        _spoken = time.GetTimestamp();
        output.WriteLine(line);
    }

    /// <summary>Follows one run of a sweep.</summary>
    /// <param name="progress">What is told of all of them.</param>
    /// <param name="cell">The run.</param>
    /// <param name="resumes">Whether an earlier command has trained a part of it.</param>
    internal sealed class CellViewer(SweepProgress progress, SweepCell cell, bool resumes) : IRunViewer
    {
        /// <summary>What a run says of what it cannot write.</summary>
        private static readonly HashSet<string> Troubles = ["checkpoint-failed", "disk", "disk-full"];

        private long? _from = resumes ? null : 0;
        private volatile string? _trouble;

        /// <summary>The run.</summary>
        public SweepCell Cell => cell;

        /// <summary>What it last said that it cannot write, in a sentence; null for nothing.</summary>
        public string? Trouble => _trouble;

        /// <summary>The samples that it has used so far.</summary>
        public long Samples { get; private set; }

        /// <summary>Those of them that this command has trained. Of a run that goes on, from the first step that is told.</summary>
        public long Trained => Math.Max(0, Samples - (_from ?? Samples));

        /// <summary>Takes how far it has come.</summary>
        /// <param name="used">The samples that it has used.</param>
        public void Note(long used)
        {
            _from ??= used;
            Samples = Math.Max(Samples, used);
        }

        /// <inheritdoc/>
        public void Show(V1.RunEvent happened)
        {
            if (happened.Step is { } step)
            {
                progress.Note(this, step);
            }
            else if (happened.Happening is { } told && Troubles.Contains(told.Name))
            {
                _trouble = told.Sentence;
            }
        }

        /// <inheritdoc/>
        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
