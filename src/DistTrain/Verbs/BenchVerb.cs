using System.CommandLine;

namespace DistTrain.Verbs;

/// <summary><c>bench</c>: what can be measured on this machine.</summary>
internal static class BenchVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app) => new VerbCommand(
        "bench",
        "Measure what the machine at hand does: see the verbs below it.",
        "Examples:\n"
        + "  bench allreduce                        how fast gradients are exchanged, by each transport\n"
        + "  bench step                             where the time of a step goes, and what more workers bring\n"
        + "  bench recover                          how long a run takes to go on after each kind of loss")
    {
        BenchAllReduceVerb.Create(app),
        BenchStepVerb.Create(app),
        BenchRecoverVerb.Create(app),
    };
}
