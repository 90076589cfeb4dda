using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Benching;

/// <summary>Trains a configuration for some steps with each of several numbers of workers, in turns, and reads what the steps took from the runs' folders.</summary>
/// <param name="surroundings">The program.</param>
/// <param name="options">The configuration.</param>
/// <param name="steps">Steps of a run.</param>
/// <param name="uncounted">Steps at its beginning that do not count.</param>
internal sealed class StepBench(Surroundings surroundings, RunOptions options, int steps, int uncounted)
{
    /// <summary>Measures.</summary>
    /// <param name="workers">The numbers of workers.</param>
    /// <param name="rounds">How often each.</param>
    /// <param name="stop">Gives up.</param>
    /// <exception cref="BenchException">A run failed; its folder stays.</exception>
    public async Task<StepReport> RunAsync(IReadOnlyList<int> workers, int rounds, CancellationToken stop)
    {
        if (MeasuredRun.Remark(options, options.Batch.Global) is { } remark)
        {
            surroundings.Error.WriteLine(remark);
        }

        var root = Directory.CreateTempSubdirectory("disttrain-bench-").FullName;
        var measured = workers.ToDictionary(w => w, _ => new List<StepPhases>());
        try
        {
            for (var round = 1; round <= rounds; round++)
            {
                // The order alternates, so that a drift of the machine's speed favours nobody.
                foreach (var count in round % 2 == 1 ? workers : workers.Reverse())
                {
                    surroundings.Error.WriteLine($"Round {round} of {rounds}: {Words.Count(steps, "step")} with {Words.Count(count, "worker")}");
                    measured[count].Add(await TrainAsync(Path.Combine(root, $"{round}-{count}"), count, stop));
                }
            }
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            Directory.Delete(root, recursive: true);
            throw;
        }

        Directory.Delete(root, recursive: true);
        return new StepReport([.. workers.Select(w => (w, (IReadOnlyList<StepPhases>)measured[w]))]);
    }

    private async Task<StepPhases> TrainAsync(string folder, int workers, CancellationToken stop)
    {
        var settings = new LocalRunSettings
        {
            Options = MeasuredRun.Of(options, steps) with { Workers = workers },
            Folder = Directory.CreateDirectory(folder).FullName,
            MaxRestarts = 0,
            Program = surroundings.Program,
            Environment = surroundings.Environment,
        };
        await File.WriteAllTextAsync(RunFolder.ConfigurationIn(folder), Configuration.RunConfiguration.Write(settings.Options), stop);
        await using var nobody = new Unwatched();
        var result = await new LocalRun(settings, nobody, surroundings.Time).RunAsync(stop);
        stop.ThrowIfCancellationRequested();
        return result.Success ? StepPhases.Read(folder, uncounted) : throw new BenchException($"{result.Sentence.TrimEnd('.')}; see {folder}.");
    }

    private sealed class Unwatched : IRunViewer
    {
        public void Show(V1.RunEvent happened)
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
