using System.Collections.Concurrent;
using DistTrain.Coordinator;
using DistTrain.Core.BatchScience;
using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Views;

namespace DistTrain.Sweeping;

/// <summary>
/// The runs of a sweep on this machine, several at a time, one worker each. A run that is done is not trained again, one that has begun goes on: the same command goes on with a sweep that was
/// ended, whatever ended it, and with other batches or rates it trains only those, and reports on all.
/// </summary>
/// <param name="settings">What the sweep is asked to do.</param>
/// <param name="app">The program.</param>
internal sealed class Sweep(SweepSettings settings, Verbs.Application app)
{
    private static readonly TimeSpan Poll = TimeSpan.FromMilliseconds(200);

    private readonly Surroundings _surroundings = app.Surroundings;

    /// <summary>Trains what is not done yet.</summary>
    /// <param name="stop">Ends the runs in order.</param>
    /// <returns>What the runs did, and those of earlier commands that were done; by batch, optimizer, rate and seed.</returns>
    /// <exception cref="SweepException">A run failed, or its folder or another in the sweep's is of another configuration. What is done stays.</exception>
    public async Task<IReadOnlyList<CellResult>> RunAsync(CancellationToken stop)
    {
        var earlier = SweepFolder.CellsIn(settings.Folder).Except(settings.Cells).ToList();
        var found = settings.Cells.Concat(earlier).ToDictionary(c => c, c => CellFolder.Find(settings.FolderOf(c), settings.OptionsOf(c), app));
        if (Problems(found) is { Count: > 0 } problems)
        {
            throw new SweepException(problems, isUsage: true);
        }

        TellUnfinished([.. earlier.Where(c => found[c].State == CellState.Begun)]);
        var progress = new SweepProgress(_surroundings.Error, settings.Cells.Count, settings.Samples, _surroundings.Time);
        var left = new ConcurrentQueue<SweepCell>(settings.Cells.Where(c => found[c].State != CellState.Done));
        for (var done = left.Count; done < settings.Cells.Count; done++)
        {
            progress.Found();
        }

        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var lanes = Enumerable.Range(0, Math.Min(settings.Parallel, left.Count)).Select(_ => WorkAsync(left, found, progress, over)).ToList();
        await Task.WhenAll(lanes);
        stop.ThrowIfCancellationRequested();
        return [.. InOrder([.. settings.Cells, .. earlier.Where(c => found[c].State == CellState.Done)]).Select(c => CellResult.Read(settings.FolderOf(c), c, settings.Branch?.Loss))];
    }

    /// <summary>As if one command had asked for all.</summary>
    private static IEnumerable<SweepCell> InOrder(IReadOnlyList<SweepCell> cells)
    {
        var optimizers = cells.Select(c => c.Optimizer).Distinct().ToList();
        return cells.OrderBy(c => c.Batch).ThenBy(c => optimizers.IndexOf(c.Optimizer)).ThenBy(c => c.Rate).ThenBy(c => c.Seed);
    }

    private void TellUnfinished(IReadOnlyList<SweepCell> unfinished)
    {
        if (unfinished.Count > 0)
        {
            var others = unfinished.Count > 1 ? $" and {Words.Count(unfinished.Count - 1, "other run")}" : "";
            _surroundings.Error.WriteLine(
                $"Left out of the report: {SweepProgress.Title(unfinished[0])}{others}, which no command has trained to the end that is asked for now. With such batches and rates given, too, they go on.");
        }
    }

    /// <summary>Why folders cannot be used: what is wrong with several of them, once.</summary>
    private List<string> Problems(Dictionary<SweepCell, CellFolder> found) =>
    [
        .. from cell in found.Keys
           from problem in found[cell].Problems
           group settings.FolderOf(cell) by problem into same
           select $"{same.First()}{(same.Count() > 1 ? $" and {Words.Count(same.Count() - 1, "other run")}" : "")}: {same.Key}",
    ];

    /// <summary>Trains one run after the other. The first that fails ends the sweep.</summary>
    private async Task WorkAsync(ConcurrentQueue<SweepCell> left, Dictionary<SweepCell, CellFolder> found, SweepProgress progress, CancellationTokenSource over)
    {
        try
        {
            while (!over.IsCancellationRequested && left.TryDequeue(out var cell))
            {
                await TrainAsync(cell, found[cell], progress, over.Token);
            }
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            // The sweep says why.
        }
        catch
        {
            await over.CancelAsync();
            throw;
        }
    }

    private async Task TrainAsync(SweepCell cell, CellFolder found, SweepProgress progress, CancellationToken stop)
    {
        var (folder, options) = (settings.FolderOf(cell), settings.OptionsOf(cell));
        await FreeAsync(folder, options, stop);
        var run = new LocalRunSettings
        {
            Options = options,
            Folder = folder,
            Resume = found.Prepare(folder, options),
            Program = _surroundings.Program,
            Environment = _surroundings.Environment,
        };
        await using var viewer = progress.Watch(cell, run.Resume);
        var result = await new LocalRun(run, viewer, _surroundings.Time).RunAsync(stop);
        stop.ThrowIfCancellationRequested();
        if (!result.Success && !CellResult.HasDiverged(folder))
        {
            throw new SweepException(Failure(cell, folder, result.Sentence, viewer.Trouble));
        }

        progress.Done(CellResult.Read(folder, cell));
    }

    /// <summary>Why a run failed, and what helps.</summary>
    /// <param name="cell">The run.</param>
    /// <param name="folder">Its folder.</param>
    /// <param name="sentence">What it says of its end.</param>
    /// <param name="trouble">What it last said of what could not be written, which may be why; null for nothing.</param>
    internal static string Failure(SweepCell cell, string folder, string sentence, string? trouble)
    {
        var why = trouble is null || UnwrittenFile.IsFullDisk(sentence) ? sentence.TrimEnd('.') : $"{sentence.TrimEnd('.')} ({trouble.TrimEnd('.')})";
        return $"{SweepProgress.Title(cell)}: {why}; its folder is {folder}. What is done stays: {(UnwrittenFile.IsFullDisk(why) ? "free space and run the same command again: it goes" : "the same command goes")} on.";
    }

    /// <summary>The coordinator of a sweep that was killed notices it, but may not have ended yet.</summary>
    private async Task FreeAsync(string folder, RunOptions options, CancellationToken stop)
    {
        var (began, most) = (_surroundings.Time.GetTimestamp(), new Core.Membership.Timeouts(options.FailureDetection).Grace);
        while (CoordinatorHost.HoldsRun(folder) && CoordinatorHost.IsOwned(folder))
        {
            if (_surroundings.Time.GetElapsedTime(began) > most)
            {
                throw new SweepException($"Another coordinator owns the run in {folder}: end it first.");
            }

            await Task.Delay(Poll, _surroundings.Time, stop);
        }
    }
}
