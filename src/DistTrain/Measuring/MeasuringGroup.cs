using DistTrain.Core.Options;
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
            var answers = await group.AskAsync(rank => new MeasureRequest { Begin = new MeasureBegin(configuration, rank) }, BeginDeadline, cancellation);
            group.Model = answers[0].Model ?? throw Unexpected();
            return group;
        }
        catch
        {
            group.Dispose();
            throw;
        }
    }

    /// <summary>Has all of them compute micro-batches of a size, at the same time and each for itself.</summary>
    /// <returns>The cost at the slowest, and the most that one of them holds; null where one has not the memory.</returns>
    public async Task<MicroBatchCost?> MeasureAsync(int size, CancellationToken cancellation)
    {
        try
        {
            var answers = await AskAsync(_ => new MeasureRequest { Size = new MeasureSize(size) }, AnswerDeadline, cancellation);
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

    /// <summary>What people should know of the model and its configuration, as a run's first worker says it.</summary>
    /// <param name="micro">Most samples of a micro-batch.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="MeasureException">It cannot be found out.</exception>
    public async Task<IReadOnlyList<string>> RemarksAsync(int micro, CancellationToken cancellation)
    {
        var answers = await AskAsync(_ => new MeasureRequest { Remarks = new MeasureRemarks(micro) }, AnswerDeadline, cancellation);
        return answers[0].Remarks ?? throw Unexpected();
    }

    /// <inheritdoc/>
    public void Dispose() => _processes.ForEach(p => p.Dispose());

    private static MeasureException Unexpected() => new("The measuring process answers something else than it was asked: see that program and workers are of one build.");

    private Task<MeasureAnswer[]> AskAsync(Func<int, MeasureRequest> request, TimeSpan deadline, CancellationToken cancellation) =>
        Task.WhenAll(_processes.Select((p, rank) => p.AskAsync(request(rank), deadline, cancellation)));
}
