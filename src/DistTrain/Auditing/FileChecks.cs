using DistTrain.Core.Options;
using DistTrain.Records;

namespace DistTrain.Auditing;

/// <summary>Whether what there is can be read.</summary>
internal static class FileChecks
{
    /// <summary>The configuration.</summary>
    public static Finding Configuration(RunEvidence evidence) => Finding.Of(
        "configuration", evidence.ConfigurationProblems,
        () => $"config.yaml is readable: {evidence.Options!.Name}, a global batch of {evidence.Options.Batch.Global:N0} in micro-batches of {MicroOf(evidence.Options, evidence)}.");

    private static string MicroOf(RunOptions options, RunEvidence evidence) => !options.Batch.IsAuto ? $"{options.Batch.Micro:N0}"
        : ExpectedCourse.Resolve(options, evidence.Journal) is { Batch: { IsAuto: false } found } ? $"{found.Micro:N0}, as its workers found"
        : "the size that its workers were to find";

    /// <summary>The files of lines: a process that is killed may tear the last line of each, and no other.</summary>
    public static Finding Files(RunEvidence evidence)
    {
        (string Name, int Lines, int? Torn, int? Damaged)[] files =
        [
            Of(evidence.Steps), Of(evidence.Evaluations), Of(evidence.Workers), Of(evidence.Plans), Of(evidence.Reissues), Of(evidence.Events),
        ];
        var damaged = files.Where(f => f.Damaged is not null)
            .Select(f => $"{f.Name} is damaged: line {f.Damaged} is no line of it, and a process that is killed leaves none such before its last.");
        return Finding.Of("files", evidence.Missing.Concat(damaged), () =>
        {
            var torn = string.Concat(files.Where(f => f.Torn is not null).Select(f => $" The last line of {f.Name}, {f.Torn}, is torn, as a killed process leaves it: it is left out."));
            return $"{files.Length} files of {files.Sum(f => f.Lines):N0} lines are whole.{torn}";
        });
    }

    private static (string Name, int Lines, int? Torn, int? Damaged) Of<T>(LineFile<T> file)
        where T : class => (file.Path, file.Lines.Count, file.TornLine, file.DamagedLine);
}
