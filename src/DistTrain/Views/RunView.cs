using System.Collections.Immutable;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Views;

/// <summary>What is known of a run at one moment. A pure function of the events so far; drawing it is somebody else's business.</summary>
internal sealed record RunView
{
    /// <summary>The weight of the newest step in the smoothed speed: single steps jump about.</summary>
    private const double Newest = 0.1;

    public string Name { get; init; } = "";

    public string Folder { get; init; } = "";

    public long TrainingSamples { get; init; }

    public long TotalSteps { get; init; }

    public long TotalSamples { get; init; }

    /// <summary>The most steps that the run may take, where what is said of its length is an estimate; else 0.</summary>
    public long MostSteps { get; init; }

    public long GlobalBatch { get; init; }

    public int MicroBatch { get; init; }

    public long Parameters { get; init; }

    /// <summary>Whether the run's frame is known.</summary>
    public bool HasStarted { get; init; }

    public long Step { get; init; }

    public long Epoch { get; init; }

    public long Samples { get; init; }

    public double Loss { get; init; } = double.NaN;

    public double LearningRate { get; init; } = double.NaN;

    /// <summary>How many steps of the reference batch the newest was worth; 0 where the rate does not follow that.</summary>
    public double Gain { get; init; }

    public int Workers { get; init; }

    public ulong Generation { get; init; }

    /// <summary>Steps that were skipped for a gradient that is not finite.</summary>
    public long Skipped { get; init; }

    /// <summary>Smoothed over about ten steps; 0 before the first.</summary>
    public double SamplesPerSecond { get; init; }

    public double ValidationLoss { get; init; } = double.NaN;

    /// <summary>The validation metrics by name, such as accuracy.</summary>
    public ImmutableSortedDictionary<string, double> Metrics { get; init; } = ImmutableSortedDictionary<string, double>.Empty;

    /// <summary>What was last said of the noise scale, the one that the update rule sees where it has its own; empty where it is not measured.</summary>
    public string NoiseAdvice { get; init; } = "";

    /// <summary>The newest happening, in a sentence.</summary>
    public string Happening { get; init; } = "";

    /// <summary>How the run ended; null while it goes on.</summary>
    public V1.RunFinished? Finished { get; init; }

    /// <summary>Between 0 and 1.</summary>
    public double Progress => TotalSamples == 0 ? 0 : Math.Clamp((double)Samples / TotalSamples, 0, 1);

    /// <summary>Predicted from the smoothed speed; null before there is one.</summary>
    public TimeSpan? TimeLeft =>
        SamplesPerSecond > 0 && TotalSamples >= Samples
            ? TimeSpan.FromSeconds(Math.Min((TotalSamples - Samples) / SamplesPerSecond, TimeSpan.MaxValue.TotalSeconds / 2))
            : null;

    /// <summary>What is known after one more event.</summary>
    public RunView With(V1.RunEvent happened) => happened.BodyCase switch
    {
        V1.RunEvent.BodyOneofCase.Started => With(happened.Started),
        V1.RunEvent.BodyOneofCase.Step => With(happened.Step),
        V1.RunEvent.BodyOneofCase.Evaluation => this with
        {
            ValidationLoss = happened.Evaluation.Loss,
            Metrics = happened.Evaluation.Metrics.ToImmutableSortedDictionary(StringComparer.Ordinal),
        },
        V1.RunEvent.BodyOneofCase.Happening => this with { Happening = happened.Happening.Sentence },
        V1.RunEvent.BodyOneofCase.Finished => this with { Finished = happened.Finished },
        _ => this,
    };

    private RunView With(V1.RunStarted started) => this with
    {
        HasStarted = true,
        Name = started.Name,
        Folder = started.Folder,
        TrainingSamples = started.TrainingSamples,
        TotalSteps = started.TotalSteps,
        TotalSamples = started.TotalSamples,
        MostSteps = started.EndsByGain ? started.TotalSteps : 0,
        GlobalBatch = started.GlobalBatch,
        MicroBatch = started.MicroBatch,
        Parameters = started.Parameters,
        Workers = started.WorldSize,
    };

    private RunView With(V1.StepDone step) => this with
    {
        Step = step.Step,
        Epoch = step.Epoch,
        Samples = step.Samples,
        Loss = step.Loss,
        LearningRate = step.LearningRate,
        Gain = step.Gain,
        TotalSteps = step.TotalSteps > 0 ? step.TotalSteps : TotalSteps,
        TotalSamples = step.TotalSamples > 0 ? step.TotalSamples : TotalSamples,
        Workers = step.WorldSize,
        Generation = step.Generation,

        // A reconnected watch repeats the newest step.
        Skipped = Skipped + (step.Skipped && step.Step != Step ? 1 : 0),
        NoiseAdvice = step.Noise is { } noise ? (noise.Preconditioned ?? noise).Advice : NoiseAdvice,
        SamplesPerSecond = Smooth(SamplesPerSecond, step.SamplesPerSecond),
    };

    private static double Smooth(double before, double now) => now switch
    {
        double.NaN or <= 0 => before,
        _ when before == 0 => now,
        _ => (1 - Newest) * before + Newest * now,
    };
}
