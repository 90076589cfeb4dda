using System.Diagnostics.Metrics;

namespace DistTrain.Coordinator.Health;

/// <summary>A run's numbers as instruments. They are read when somebody asks. What is not known yet is not shown.</summary>
public sealed class CoordinatorMeter : IDisposable
{
    /// <summary>The meter's name.</summary>
    public const string Name = "DistTrain.Coordinator";

    private readonly Meter _meter = new(Name);
    private readonly RunTotals _totals;

    /// <summary>Shows what a coordinator notes.</summary>
    public CoordinatorMeter(CoordinatorVitals vitals)
    {
        _totals = vitals.Totals;
        OfStep("disttrain.step", "Last completed step of the run.", s => s.Step);
        OfStep("disttrain.epoch", "Completed passes over the data.", s => s.Epoch);
        OfStep("disttrain.samples", "Samples of the run up to and with the last step.", s => s.Samples);
        OfStep("disttrain.loss", "Loss per sample (or token) of the last step.", s => s.Loss);
        OfStep("disttrain.learning_rate", "Learning rate of the last step.", s => s.Lr);
        OfStep("disttrain.global_batch", "Samples of the last step.", s => s.GlobalBatch);
        OfStep("disttrain.samples_per_second", "Samples of the last step by the time of its slowest worker.", s => s.SamplesPerSecond);
        _meter.CreateObservableGauge("disttrain.steps", () => _totals.Steps, description: "Steps of the whole run; 0 before the size of the data is known.");
        _meter.CreateObservableGauge("disttrain.world_size", () => _totals.WorldSize, description: "Members of the current generation.");
        _meter.CreateObservableGauge("disttrain.generation", () => _totals.Generation, description: "Version of the membership.");
        _meter.CreateObservableGauge("disttrain.checkpoint_step", () => _totals.Checkpoint, description: "Step of the newest checkpoint that counts; -1 for none.");
        Count("disttrain.steps_skipped", "Steps skipped because their gradient was not finite.", () => _totals.Skipped);
        Count("disttrain.workers_joined", "Workers that joined, or came back.", () => _totals.Joined);
        Count("disttrain.workers_lost", "Workers that were lost.", () => _totals.Lost);
        Count("disttrain.recoveries", "Losses after which a step was completed.", () => _totals.Recoveries);
        Count("disttrain.checkpoint_failures", "Checkpoints that were not written.", () => _totals.CheckpointFailures);
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();

    private void OfStep(string name, string description, Func<StepRecord, double?> value) =>
        _meter.CreateObservableGauge(
            name, () => _totals.Step is { } step && value(step) is { } known ? [new Measurement<double>(known)] : Array.Empty<Measurement<double>>(), unit: null, description);

    private void Count(string name, string description, Func<long> value) => _meter.CreateObservableCounter(name, value, unit: null, description);
}
