using System.Text.Json;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>What is known of the weights with the lowest validation loss.</summary>
/// <param name="Kept">The checkpoint that holds them, and the evaluation that says so; null where there is none yet.</param>
/// <param name="Awaited">A better evaluation than that, of whose weights no checkpoint has come yet: the first that comes at or after it is taken for them.</param>
internal sealed record BestMarks(BestMarks.Mark? Kept = null, BestMarks.Mark? Awaited = null)
{
    /// <summary>Takes an evaluation.</summary>
    /// <param name="step">The step after which was evaluated.</param>
    /// <param name="loss">Its loss; one that is not finite is no better than any.</param>
    /// <param name="published">The steps of the checkpoints there are.</param>
    public BestMarks AfterEvaluation(long step, double loss, IEnumerable<long> published)
    {
        if (!double.IsFinite(loss) || loss >= Kept?.Loss || loss >= Awaited?.Loss)
        {
            return this;
        }

        var holding = published.Where(s => s >= step).Order().Select(s => (long?)s).FirstOrDefault();
        return holding is null ? this with { Awaited = new Mark(step, step, loss) } : new BestMarks(new Mark(holding.Value, step, loss));
    }

    /// <summary>Takes a checkpoint.</summary>
    public BestMarks AfterPublication(long step) =>
        Awaited is { } awaited && step >= awaited.Evaluated ? new BestMarks(awaited with { Step = step }) : this;

    /// <param name="Step">The checkpoint's step.</param>
    /// <param name="Evaluated">The step that was evaluated.</param>
    /// <param name="Loss">The validation loss there.</param>
    internal sealed record Mark(long Step, long Evaluated, double Loss);
}

/// <summary>The best checkpoint of a folder, also for a later process: <c>best.json</c> beside the checkpoints.</summary>
/// <param name="folder">Where the checkpoints lie.</param>
/// <param name="disk">Where files are created.</param>
internal sealed class BestCheckpoint(string folder, IDisk disk)
{
    private const string Name = "best.json";

    /// <summary>Bytes; it has some hundred.</summary>
    private const long Largest = 1 << 12;

    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };
    private readonly Lock _lock = new();
    private BestMarks _marks = new();
    private bool _isWritten = true;

    /// <summary>The step of the best; null where none is known.</summary>
    public long? Step
    {
        get
        {
            lock (_lock)
            {
                return _marks.Kept?.Step;
            }
        }
    }

    /// <summary>Takes up what an earlier process has marked. A mark that is damaged, or whose checkpoint is not there, is none.</summary>
    public void Read(IReadOnlyCollection<long> published)
    {
        var file = new FileInfo(Path.Combine(folder, Name));
        try
        {
            var marks = file.Exists && file.Length <= Largest ? JsonSerializer.Deserialize<BestMarks>(File.ReadAllText(file.FullName), Indented) : null;
            lock (_lock)
            {
                _marks = marks?.Kept is { } kept && !published.Contains(kept.Step) ? marks with { Kept = null } : marks ?? new BestMarks();
            }
        }
        catch (JsonException)
        {
            // The next evaluation marks one.
        }
    }

    /// <summary>Marks, and writes the marks down where they have changed. A disk that does not take them is tried again at the next change.</summary>
    public void Change(Func<BestMarks, BestMarks> change)
    {
        lock (_lock)
        {
            var changed = change(_marks);
            if (changed == _marks && _isWritten)
            {
                return;
            }

            (_marks, _isWritten) = (changed, false);
            try
            {
                Disk.WriteWhole(disk, Path.Combine(folder, Name), JsonSerializer.SerializeToUtf8Bytes(_marks, Indented));
                _isWritten = true;
            }
            catch (Exception e) when (Disk.IsRefusal(e))
            {
                // Whatever else is written to this disk says so.
            }
        }
    }
}
