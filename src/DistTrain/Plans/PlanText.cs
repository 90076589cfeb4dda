using System.Text.Json.Nodes;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Views;

namespace DistTrain.Plans;

/// <summary>A plan for people and for programs.</summary>
internal static class PlanText
{
    private const int MostNodesShown = 6;

    /// <summary>The tables.</summary>
    /// <param name="output">Where they go.</param>
    /// <param name="plan">The plan.</param>
    /// <param name="verbose">Whether every time limit is shown.</param>
    public static void Write(TextWriter output, RunPlan plan, bool verbose = false)
    {
        var batch = plan.Full.Batch;
        output.WriteLine($"{plan.Name}: a global batch of {Words.Count(plan.GlobalBatch, "sample")} on {Words.Count(plan.Workers, "worker")}");
        output.WriteLine();
        new TextTable()
            .Add("training samples", $"{plan.Length.DataSize:N0}", "an epoch")
            .Add("validation samples", $"{plan.ValidationSamples:N0}", "")
            .Add("steps per epoch", $"{plan.Length.StepsPerEpoch:N0}", LastStep(plan))
            .Add("steps", $"{From(plan.Shortest?.Steps, plan.Steps)}{plan.Steps:N0}", $"{From(plan.Shortest?.Samples, plan.Samples)}{Words.Count(plan.Samples, "sample")} in all")
            .Add("micro-batches M", $"{batch.MicroBatches:N0}", $"= ceil({batch.Samples:N0} / {plan.Geometry.Micro:N0}), {Sizes(Largest(batch.Samples, batch.MicroBatches), Smallest(batch.Samples, batch.MicroBatches), "sample")} each")
            .Add("blocks K", $"{batch.Blocks:N0}", $"of {Sizes(Largest(batch.MicroBatches, batch.Blocks), Smallest(batch.MicroBatches, batch.Blocks), "micro-batch", "es")} each")
            .Write(output, "  ");
        if (plan.DataWay is { } way)
        {
            output.WriteLine($"  data: {way}");
        }

        foreach (var sentence in plan.Undecided)
        {
            output.WriteLine($"  {sentence}");
        }

        WriteStep(output, "A step", plan.Full);
        if (plan.Last is { } last)
        {
            WriteStep(output, "The last step of an epoch", last);
        }

        foreach (var change in plan.Changes)
        {
            WriteStep(output, $"From step {change.Step:N0} on, with micro-batches of at most {change.Micro:N0}", change.Plan);
        }

        WriteRates(output, plan.Rates);
        if (plan.Scaling is { } scaling)
        {
            output.WriteLine($"  {scaling}");
        }

        if (plan.Predictions.Count > 0)
        {
            PredictionText.Write(output, plan);
        }

        if (verbose)
        {
            WriteLimits(output, plan.Timeouts);
        }
    }

    /// <summary>One object.</summary>
    public static JsonObject Json(RunPlan plan) => new()
    {
        ["name"] = plan.Name,
        ["globalBatch"] = plan.GlobalBatch,
        ["microBatch"] = plan.Geometry.Micro,
        ["workers"] = plan.Workers,
        ["trainingSamples"] = plan.Length.DataSize,
        ["validationSamples"] = plan.ValidationSamples,
        ["data"] = plan.DataWay,
        ["stepsPerEpoch"] = plan.Length.StepsPerEpoch,
        ["steps"] = plan.Steps,
        ["samples"] = plan.Samples,
        ["fewestSteps"] = plan.Shortest?.Steps,
        ["fewestSamples"] = plan.Shortest?.Samples,
        ["undecided"] = new JsonArray([.. plan.Undecided.Select(u => JsonValue.Create(u))]),
        ["step"] = Json(plan.Full),
        ["lastStep"] = plan.Last is null ? null : Json(plan.Last),
        ["changes"] = new JsonArray([.. plan.Changes.Select(c => new JsonObject { ["fromStep"] = c.Step, ["microBatch"] = c.Micro, ["step"] = Json(c.Plan) })]),
        ["predictions"] = PredictionText.Json(plan),
        ["advice"] = new JsonArray([.. plan.Advice.Select(a => JsonValue.Create(a))]),
        ["learningRates"] = new JsonArray([.. plan.Rates.Select(r => new JsonObject
        {
            ["step"] = r.Step,
            ["epochs"] = r.Epochs,
            ["globalBatch"] = r.Batch,
            ["rate"] = r.Now.Rate,
            ["highestRate"] = r.Highest,
            ["beta1"] = r.Now.Beta1,
            ["beta2"] = r.Now.Beta2,
            ["epsilon"] = r.Now.Epsilon,
        })]),
        ["scaling"] = plan.Scaling,
        ["failureDetectionMs"] = plan.Timeouts.FailureDetection.TotalMilliseconds,
        ["timeLimits"] = new JsonArray([.. plan.Timeouts.All.Select(l => new JsonObject
        {
            ["name"] = l.Name,
            ["milliseconds"] = l.Value.TotalMilliseconds,
            ["limits"] = l.Limits,
        })]),
        ["warnings"] = new JsonArray([.. plan.Warnings.Select(w => JsonValue.Create(w))]),
    };

    private static JsonObject Json(StepPlan step) => new()
    {
        ["samples"] = step.Batch.Samples,
        ["microBatches"] = step.Batch.MicroBatches,
        ["blocks"] = step.Batch.Blocks,
        ["ranks"] = new JsonArray([.. step.Ranks.Select(r => new JsonObject
        {
            ["rank"] = r.Rank,
            ["firstBlock"] = r.Blocks.First,
            ["blocks"] = r.Blocks.Count,
            ["microBatches"] = r.MicroBatches,
            ["samples"] = r.Samples,
            ["cover"] = new JsonArray([.. r.Cover.Select(n => new JsonArray(n.Level, n.Index))]),
        })]),
    };

    private static void WriteStep(TextWriter output, string title, StepPlan step)
    {
        output.WriteLine();
        output.WriteLine($"{title}: {Words.Count(step.Batch.Samples, "sample")}, {step.Batch.MicroBatches:N0} micro-batch{(step.Batch.MicroBatches == 1 ? "" : "es")}, {Words.Count(step.Batch.Blocks, "block")}");
        var table = new TextTable("rank", "blocks", "which", "micro-batches", "samples", "sends nodes (level, index)");
        foreach (var rank in step.Ranks)
        {
            var nodes = string.Join(" ", rank.Cover.Take(MostNodesShown)) + (rank.Cover.Count > MostNodesShown ? $" and {rank.Cover.Count - MostNodesShown} more" : "");
            table.Add(
                $"{rank.Rank}",
                $"{rank.Blocks.Count}",
                rank.Blocks.Count == 0 ? "none" : $"{rank.Blocks.First}..{rank.Blocks.End - 1}",
                $"{rank.MicroBatches:N0}",
                $"{rank.Samples:N0}",
                nodes);
        }

        table.Write(output, "  ");
    }

    /// <summary>What stays has no column.</summary>
    private static void WriteRates(TextWriter output, IReadOnlyList<RatePoint> points)
    {
        var hasBatch = points.Any(p => p.Batch != points[0].Batch);
        var hasGain = points.Any(p => p.Highest is not null);
        var hasBetas = points.Any(p => p.Now with { Rate = 0 } != points[0].Now with { Rate = 0 });
        output.WriteLine();
        output.WriteLine(hasBatch ? "Learning rate and global batch" : "Learning rate");
        var table = new TextTable([.. Row("step", "batch", hasGain ? "rate at gain 1" : "rate", "at the largest gain", "beta1", "beta2", "epsilon")]);
        foreach (var (step, _, batch, now, highest) in points)
        {
            table.Add([.. Row($"{step:N0}", $"{batch:N0}", Words.Number(now.Rate), highest is { } rate ? Words.Number(rate) : "-", Words.Number(now.Beta1), Words.Number(now.Beta2), Words.Number(now.Epsilon))]);
        }

        table.Write(output, "  ");

        IEnumerable<string> Row(string step, string batch, string rate, string highest, params string[] betas) =>
            [step, .. hasBatch ? [batch] : Array.Empty<string>(), rate, .. hasGain ? [highest] : Array.Empty<string>(), .. hasBetas ? betas : []];
    }

    private static void WriteLimits(TextWriter output, Timeouts timeouts)
    {
        output.WriteLine();
        output.WriteLine($"Time limits, from failureDetection = {Duration.Format(timeouts.FailureDetection)}");
        var table = new TextTable("limit", "time", "what it limits");
        foreach (var limit in timeouts.All)
        {
            table.Add(limit.Name, Duration.Format(limit.Value), limit.Limits);
        }

        table.Write(output, "  ");
    }

    private static string From(long? fewest, long most) => fewest is null || fewest == most ? "" : $"{fewest:N0} to ";

    private static string LastStep(RunPlan plan) =>
        plan.Last is null ? "all of one size" : $"the last holds {Words.Count(plan.Length.LastStepSamples, "sample")}";

    private static long Smallest(long whole, long parts) => whole / parts;

    private static long Largest(long whole, long parts) => (whole + parts - 1) / parts;

    private static string Sizes(long largest, long smallest, string noun, string plural = "s") =>
        (smallest == largest ? $"{largest:N0}" : $"{smallest:N0} or {largest:N0}") + $" {noun}{(largest == 1 ? "" : plural)}";
}
