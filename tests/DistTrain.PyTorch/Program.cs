using System.ComponentModel;
using System.Diagnostics;
using DistTrain.PyTorch;
using DistTrain.Training.Native;

if (args is not [var python, .. var rest] || rest is not ([] or ["--short"]))
{
    Console.Error.WriteLine("usage: dotnet run -c Release --project tests/DistTrain.PyTorch -- PYTHON [--short]");
    return 2;
}

// Of ten steps one may be, of a hundred five: one in twenty, rounded up.
const int oneIn = 20;
var (steps, failed) = (rest.Length == 0 ? 100 : 10, false);
try
{
    TorchRuntime.Load(1);
    foreach (var @case in Case.All)
    {
        var started = Stopwatch.GetTimestamp();
        using var comparison = new Comparison(@case);
        var results = comparison.Run(python, @case.Settings, steps);
        Report(
            results.All(r => r.IsSmall) && results.Count(r => r.IsTurned) <= (steps + oneIn - 1) / oneIn,
            $"{@case.Name}, {steps} steps: loss {Show(results.Max(r => r.Step.Loss))}, gradient {Show(results.Where(r => !r.IsTurned).Select(r => r.Step.Gradient).DefaultIfEmpty().Max())}, "
            + $"weights {Show(results.Max(r => r.Weights))}, rule {Show(results.Max(r => r.Rule))} ({Stopwatch.GetElapsedTime(started).TotalSeconds:0} s)"
            + string.Concat(results.Index().Where(r => r.Item.IsTurned).Select(r =>
                $"; step {r.Index + 1} has a ReLU's input within rounding of 0, gradient {Show(r.Item.Step.Gradient)} of {Show(r.Item.Play)} that it explains")));
        if (@case.Ragged)
        {
            Report(
                results.All(r => !r.MeanOfMeans.IsSmall),
                $"control: the mean of micro-batches' means fails the check at every step: loss {Show(results.Min(r => r.MeanOfMeans.Loss))} or more, "
                + $"gradient {Show(results.Min(r => r.MeanOfMeans.Gradient))} or more");
        }
    }
}
catch (Exception e) when (e is InvalidDataException or TimeoutException or Win32Exception or PlatformNotSupportedException)
{
    Console.Error.WriteLine($"error: {e.Message}");
    return 1;
}

return failed ? 1 : 0;

void Report(bool holds, string what)
{
    failed |= !holds;
    Console.WriteLine($"{(holds ? "ok     " : "FAILED ")} {what}");
}

static string Show(double difference) => difference.ToString("0.0e-00");
