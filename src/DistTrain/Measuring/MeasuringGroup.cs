using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Tuning;

namespace DistTrain.Measuring;

/// <summary>Measuring processes on this host, as many as workers that are to compute at the same time; what they hold is freed with them.</summary>
internal sealed class MeasuringGroup : IDisposable
{
    /// <summary>Libraries and data are read, and the model is built.</summary>
    private static readonly TimeSpan BeginDeadline = TimeSpan.FromMinutes(5);

    /// <summary>What is asked for is meant to take seconds.</summary>
    private static readonly TimeSpan AnswerDeadline = TimeSpan.FromMinutes(3);

    private readonly List<MeasuringProcess> _processes = [];
    private readonly List<Uri> _addresses = [];
    private ulong _generation;

    private MeasuringGroup()
    {
    }

    /// <summary>The model, as the first of them built it.</summary>
    public MeasuredModel Model { get; private set; } = null!;

    /// <summary>How many there are.</summary>
    public int Count => _processes.Count;

    /// <summary>Starts processes, and has them build the model.</summary>
    /// <param name="options">The run's configuration, with the data where they lie on this host.</param>
    /// <param name="count">How many.</param>
    /// <param name="surroundings">The program, its environment and the clock.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="MeasureException">One of them cannot.</exception>
    public static async Task<MeasuringGroup> StartAsync(RunOptions options, int count, Surroundings surroundings, CancellationToken cancellation)
    {
        var group = new MeasuringGroup();
        try
        {
            for (var i = 0; i < count; i++)
            {
                group._processes.Add(MeasuringProcess.Start(options, surroundings));
            }

            var configuration = OptionsReader.Write(options);
            var answers = await group.AskAsync(count, rank => new MeasureRequest { Begin = new MeasureBegin(configuration, rank) }, BeginDeadline, cancellation);
            group.Model = answers[0].Model ?? throw Unexpected();
            group._addresses.AddRange(answers.Select(a => a.Model!.Address));
            return group;
        }
        catch
        {
            group.Dispose();
            throw;
        }
    }

    /// <summary>Links the first of them up, for steps.</summary>
    public async Task LinkAsync(int workers, CancellationToken cancellation)
    {
        var generation = ++_generation;
        await AskAsync(workers, rank => new MeasureRequest { Link = new MeasureLink([.. _addresses.Take(workers)], rank, generation) }, AnswerDeadline, cancellation);
    }

    /// <summary>Has those that are linked carry out an operation several times.</summary>
    /// <returns>What each of them measured.</returns>
    public async Task<IReadOnlyList<MeasuredRun>> RunAsync(
        MeasuredStep step, bool evaluates, IReadOnlyList<BlockRange> ranges, int count, CancellationToken cancellation)
    {
        var request = new MeasureRequest
        {
            Run = new MeasureRun(evaluates, step.Samples, step.Geometry.Micro, step.Geometry.Blocks, [.. ranges.Select(r => r.Count)], count),
        };
        var answers = await AskAsync(ranges.Count, _ => request, AnswerDeadline, cancellation);
        return [.. answers.Select(a => a.Run ?? throw Unexpected())];
    }

    /// <summary>Has all of them compute micro-batches of a size, at the same time and each for itself.</summary>
    /// <returns>The cost at the slowest, and the most that one of them holds; null where one has not the memory.</returns>
    public async Task<MicroBatchCost?> MeasureAsync(int size, int passes, CancellationToken cancellation)
    {
        try
        {
            var answers = await AskAsync(Count, _ => new MeasureRequest { Size = new MeasureSize(size, passes) }, AnswerDeadline, cancellation);
            if (answers.Any(a => a.IsShort))
            {
                return null;
            }

            var costs = answers.Select(a => a.Cost ?? throw Unexpected()).ToList();
            return costs[0] with { Time = costs.Max(c => c.Time), Base = costs.Max(c => c.Base), Peak = costs.Max(c => c.Peak) };
        }
        catch (MeasureException e) when (e.IsShort)
        {
            return null;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _processes.ForEach(p => p.Dispose());

    private static MeasureException Unexpected() => new("The measuring process answers something else than it was asked: see that program and workers are of one build.");

    private Task<MeasureAnswer[]> AskAsync(int count, Func<int, MeasureRequest> request, TimeSpan deadline, CancellationToken cancellation) =>
        Task.WhenAll(_processes.Take(count).Select((p, rank) => p.AskAsync(request(rank), deadline, cancellation)));
}
