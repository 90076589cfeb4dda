using System.Text.Json.Serialization;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <summary>What a worker says of itself at the door.</summary>
/// <param name="Protocol">The version of the messages it speaks.</param>
/// <param name="Version">Its program's version.</param>
/// <param name="Number">Its number where a launcher gave one, else -1.</param>
/// <param name="Host">The name of its host.</param>
/// <param name="Process">Its process id.</param>
/// <param name="Address">Where peers reach it.</param>
/// <param name="Arithmetic">Processor and library profile, for people to compare.</param>
/// <param name="ConfigurationFingerprint">Of the identity, where it was given a configuration; else empty.</param>
/// <param name="Offer">The last operation of this run that its state contains, where it lost the coordinator and has kept it; else null.</param>
public sealed record WorkerHello(
    int Protocol, string Version, int Number, string Host, int Process, string Address, string Arithmetic, string ConfigurationFingerprint,
    ulong? Offer = null)
{
    /// <summary>Whether the system killed its predecessor, the process in whose place it was started, for want of memory.</summary>
    public bool WasKilledForMemory { get; init; }
}

/// <summary>What a worker proves before it may take part. Workers of one run agree in all of it.</summary>
/// <param name="TrainingSamples">Samples of the training data.</param>
/// <param name="ValidationSamples">Samples of the validation data.</param>
/// <param name="DataFingerprint">Of the content of both.</param>
/// <param name="LayoutFingerprint">Of names, shapes and order of the parameters.</param>
/// <param name="ProbeHash">Of the gradient of a fixed micro-batch at fixed weights; empty where the worker's device does not repeat it.</param>
/// <param name="WeightsHash">Of the state it holds.</param>
/// <param name="Metrics">Names of the evaluation's metrics.</param>
/// <param name="Applied">The last operation that the state contains, where it was copied from a member; else 0.</param>
/// <param name="Remarks">What people should know of the model and this configuration, in sentences.</param>
public sealed record WorkerPreparation(
    long TrainingSamples, long ValidationSamples, string DataFingerprint, string LayoutFingerprint, string ProbeHash, string WeightsHash,
    IReadOnlyList<string> Metrics, ulong Applied, IReadOnlyList<string> Remarks)
{
    /// <summary>The size of micro-batches that suits this worker, where the run leaves that to its workers and has none yet; else 0.</summary>
    public int Proposal { get; init; }

    /// <summary>The largest size that it knows to fit its memory; 0 where it has not measured, or none fits.</summary>
    public int Most { get; init; }

    /// <summary>The names of the classes whose confusions an evaluation counts; empty for none.</summary>
    public IReadOnlyList<string> Classes { get; init; } = [];

    /// <summary>Whether the exponential of an evaluation's loss is shown.</summary>
    public bool HasPerplexity { get; init; }

    /// <summary>What the sums of an evaluation are.</summary>
    [JsonIgnore]
    public EvaluationForm Evaluation => new(Metrics) { Classes = Classes, HasPerplexity = HasPerplexity };
}

/// <summary>Why a worker is not admitted.</summary>
public enum RefusalReason
{
    /// <summary>It speaks another protocol.</summary>
    Protocol = 1,

    /// <summary>It is another version of the program.</summary>
    Version,

    /// <summary>It was given another configuration.</summary>
    Configuration,

    /// <summary>It reads other data.</summary>
    Data,

    /// <summary>Its model has other parameters.</summary>
    Layout,

    /// <summary>Its processor or libraries compute other bits.</summary>
    Arithmetic,

    /// <summary>Its state differs from the run's.</summary>
    State,

    /// <summary>The run's micro-batches do not fit its memory.</summary>
    Memory = 10,
}
