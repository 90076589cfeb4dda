namespace DistTrain.Core.Membership;

/// <summary>Who may take part in a run: at the door, and once more when data, model and arithmetic are proved.</summary>
internal static class AdmissionRules
{
    /// <summary>Why a worker that says hello is sent away; null where it is let in.</summary>
    /// <param name="hello">What it says of itself.</param>
    /// <param name="version">The coordinator's own version.</param>
    /// <param name="fingerprint">Of the run's configuration.</param>
    public static (RefusalReason Reason, string Sentence)? Refuse(WorkerHello hello, string version, string fingerprint)
    {
        if (hello.Protocol != RunMachine.Protocol)
        {
            return (RefusalReason.Protocol,
                $"It speaks protocol {hello.Protocol}, this coordinator protocol {RunMachine.Protocol}: install the same version of the program on both.");
        }

        if (hello.Version != version)
        {
            return (RefusalReason.Version,
                $"It is version {hello.Version}, this coordinator is {version}: install the same version on both, another one may compute other bits.");
        }

        if (hello.ConfigurationFingerprint.Length > 0 && hello.ConfigurationFingerprint != fingerprint)
        {
            return (RefusalReason.Configuration,
                "It was given another configuration than this run's: start it without one, or with the run's config.yaml.");
        }

        return null;
    }

    /// <summary>Why a prepared worker may not take part; null where it agrees with the run in everything.</summary>
    /// <param name="own">What it proved.</param>
    /// <param name="run">What the first worker proved.</param>
    /// <param name="stateHash">The hash that its state must have; null where it is not known.</param>
    public static (RefusalReason Reason, string Sentence)? Refuse(WorkerPreparation own, WorkerPreparation run, string? stateHash)
    {
        if (own.DataFingerprint != run.DataFingerprint)
        {
            return (RefusalReason.Data,
                $"Its data differ from the run's ({own.TrainingSamples} + {own.ValidationSamples} samples, fingerprint {Short(own.DataFingerprint)}, "
                + $"against {run.TrainingSamples} + {run.ValidationSamples}, {Short(run.DataFingerprint)}): give it the same files.");
        }

        if (own.LayoutFingerprint != run.LayoutFingerprint)
        {
            return (RefusalReason.Layout, "Its model has other parameters than the run's: build it from the same code and configuration.");
        }

        return stateHash is not null && own.WeightsHash != stateHash
            ? (RefusalReason.State, "The state it received is not the run's: its connection or memory is faulty.")
            : null;
    }

    /// <summary>Why a worker's arithmetic cannot keep the promise of equal bits; null where it can.</summary>
    /// <param name="own">What the worker proved.</param>
    /// <param name="run">What the worker that built the state proved; the same one for that worker itself.</param>
    public static string? ArithmeticProblem(WorkerPreparation own, WorkerPreparation run)
    {
        if (own.ProbeHash.Length == 0)
        {
            return "Its device computed one gradient three times with different bits, so no run on it can be repeated";
        }

        if (run.ProbeHash.Length == 0)
        {
            return $"The worker that built the model does not repeat its own bits, so there are none to compare its probe gradient {Short(own.ProbeHash)} with";
        }

        return own.ProbeHash == run.ProbeHash
            ? null
            : $"Its processor or libraries compute other bits (probe gradient {Short(own.ProbeHash)}, the run's is {Short(run.ProbeHash)})";
    }

    /// <summary>Enough of a hash for people to compare.</summary>
    public static string Short(string hash) => hash.Length <= 12 ? hash : hash[..12];
}
