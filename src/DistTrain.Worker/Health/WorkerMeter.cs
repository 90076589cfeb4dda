using System.Diagnostics.Metrics;

namespace DistTrain.Worker.Health;

/// <summary>A worker's numbers as instruments. They are read when somebody asks, so a step pays nothing for them.</summary>
public sealed class WorkerMeter : IDisposable
{
    /// <summary>The meter's name.</summary>
    public const string Name = "DistTrain.Worker";

    private readonly Meter _meter = new(Name);

    /// <summary>Shows what a worker notes.</summary>
    public WorkerMeter(WorkerVitals vitals)
    {
        var totals = vitals.Totals;
        _meter.CreateObservableGauge("disttrain.worker.operation", () => totals.Operation, description: "Last operation (step or evaluation) that the worker has completed.");
        _meter.CreateObservableCounter("disttrain.worker.blocks", () => totals.Blocks, description: "Blocks computed.");
        _meter.CreateObservableCounter("disttrain.worker.compute", () => totals.Compute, "s", "Time spent on computing blocks and updates.");
        _meter.CreateObservableCounter("disttrain.worker.exchange", () => totals.Exchange, "s", "Time between the own last block and the whole reduced step.");
        _meter.CreateObservableCounter("disttrain.worker.wait", () => totals.Wait, "s", "Time without an operation.");
        _meter.CreateObservableCounter("disttrain.worker.sent", () => totals.BytesSent, "By", "Bytes sent to other members of the generation.");
        _meter.CreateObservableGauge("disttrain.worker.resident", () => Environment.WorkingSet, "By", "Resident memory of the process.");
        _meter.CreateObservableGauge("disttrain.worker.ready", () => vitals.Ready.IsGood ? 1 : 0, description: "Whether the worker is a member of the current generation.");
    }

    /// <inheritdoc/>
    public void Dispose() => _meter.Dispose();
}
