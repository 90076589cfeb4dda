using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Sampling;
using DistTrain.Views;

namespace DistTrain.Auditing;

/// <summary>Whether each checkpoint is whole and holds the state after its step.</summary>
internal static class CheckpointChecks
{
    /// <summary>Descriptors run this many operations ahead: a checkpoint may be whole before its step's line is written.</summary>
    private const long StepsAhead = 2;

    /// <summary>Checks all that lie there.</summary>
    public static Finding Checkpoints(RunEvidence evidence, Lineage lineage, ExpectedCourse? course) => Finding.Of(
        "checkpoints",
        evidence.Checkpoints.SelectMany(c => WrongFiles(c).Concat(c.Manifest is { } manifest ? WrongState(evidence, lineage, course, c, manifest) : [])),
        () => evidence.Checkpoints.Count == 0
            ? "there are none."
            : $"{string.Join(", ", evidence.Checkpoints.Select(c => c.Step))}: whole, as their manifests say, with the weights of their steps.");

    /// <summary>What killed writers left. It is in nobody's way, and nobody reads it.</summary>
    public static Finding Leftovers(RunEvidence evidence) => new(
        "leftovers", true, evidence.Leftovers.Count == 0 ? "nothing half-written is left." : $"left by a process that was killed while it wrote: {string.Join(", ", evidence.Leftovers)}.");

    private static IEnumerable<string> WrongFiles(CheckpointEvidence checkpoint)
    {
        if (checkpoint.Manifest is not { } manifest)
        {
            yield return $"{checkpoint.Name} has no manifest.json that can be read: it is incomplete or damaged.";
            yield break;
        }

        if (manifest.Step != checkpoint.Step)
        {
            yield return $"{checkpoint.Name}/manifest.json is of step {manifest.Step}.";
        }

        if (manifest.Files.All(f => f.Name != "model.safetensors"))
        {
            yield return $"{checkpoint.Name}/manifest.json lists no model.safetensors.";
        }

        foreach (var (said, found) in manifest.Files.Zip(checkpoint.Files))
        {
            var name = $"{checkpoint.Name}/{said.Name}";
            var wrong = found switch
            {
                { Bytes: null } => "is missing.",
                _ when found.Bytes != said.Bytes => $"has {found.Bytes:N0} bytes, its manifest says {said.Bytes:N0}.",
                { DataSha256: null } => "has no head that lists its tensors.",
                _ when !found.DataSha256.Equals(said.DataSha256, StringComparison.OrdinalIgnoreCase) => $"has SHA-256 {found.DataSha256}, its manifest says {said.DataSha256}.",
                _ when found.TensorBytes != found.DataBytes => $"holds {found.DataBytes:N0} bytes of tensors, its head lists {found.TensorBytes:N0}.",
                _ => null,
            };
            if (wrong is not null)
            {
                yield return $"{name} {wrong}";
            }
        }
    }

    /// <summary>Checkpoint 0 is written before workers have found the size of micro-batches, where that is left to them.</summary>
    private static BatchGeometry GeometryOf(RunOptions options, RunEvidence evidence, ManifestText manifest) =>
        (manifest.Step == 0 ? options : ExpectedCourse.Resolve(options, evidence.Journal)).Geometry;

    private static IEnumerable<string> WrongState(RunEvidence evidence, Lineage lineage, ExpectedCourse? course, CheckpointEvidence checkpoint, ManifestText manifest)
    {
        var name = $"{checkpoint.Name}/manifest.json";
        if (lineage.Steps.TryGetValue(manifest.Step, out var line))
        {
            if (line.WeightsHash != manifest.WeightsHash)
            {
                yield return $"{name}: the weights are {manifest.WeightsHash}, metrics.jsonl has {line.WeightsHash} after step {manifest.Step}.";
            }
        }
        else if (manifest.Step != 0 && (evidence.Summary?.Status == SummaryStatus.Completed || manifest.Step > lineage.Last + StepsAhead))
        {
            yield return $"{name} is of step {manifest.Step}, and the run ends at step {lineage.Last}.";
        }

        var geometry = new BatchGeometry(manifest.Geometry.Global, manifest.Geometry.Micro, manifest.Geometry.Blocks);
        if (evidence.Options is { } options && (options.Seed, GeometryOf(options, evidence, manifest)) != (manifest.Seed, geometry))
        {
            yield return $"{name}: seed and geometry are those of another configuration than config.yaml.";
        }

        var cursor = manifest.Step == 0 ? new SampleRange(0, 0, 0) : course?.Steps.GetValueOrDefault(manifest.Step)?.Samples;
        if (cursor is { } at && (manifest.Epoch, manifest.Position) != (at.Epoch, at.First + at.Count))
        {
            yield return $"{name}: the cursor is at epoch {manifest.Epoch}, position {manifest.Position:N0}, and after step {manifest.Step} at epoch {at.Epoch}, position {at.First + at.Count:N0}.";
        }
    }
}
