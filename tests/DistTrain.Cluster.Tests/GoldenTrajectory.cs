using System.Globalization;
using System.Runtime.InteropServices;
using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;
using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using DistTrain.Worker;
using TorchSharp;

namespace DistTrain.Cluster.Tests;

/// <summary>
/// A run has the bits it had: <c>tests/golden/*.txt</c> holds loss and weights hash of every step. On the kind of machine and the libtorch they were
/// written on they are compared bit for bit; elsewhere the losses are, within <see cref="Tolerance"/>. Set <c>DISTTRAIN_WRITE_GOLDEN=1</c> to write them
/// anew, in a commit of its own that says why.
/// </summary>
public sealed class GoldenTrajectory
{
    /// <summary>
    /// Other processors and library versions round differently, and twenty steps of training amplify it: what is left is far below what
    /// a wrong sample, rate or divisor does.
    /// </summary>
    private const double Tolerance = 0.02;

    [Theory]
    [InlineData("pattern")]
    [InlineData("digits-mlp", "task=image-classification", "model.name=mlp", "data.name=digits", "batch.global=96", "batch.micro=10",
        "stop.epochs=0", "stop.steps=20", "schedule.name=cosine", "schedule.warmupSteps=5")]
    [InlineData("digits-cnn", "task=image-classification", "model.name=cnn", "model.dropout=0.25", "data.name=digits", "batch.global=96",
        "batch.micro=10", "stop.epochs=0", "stop.steps=20", "clip.globalNorm=1")]
    public async Task A_run_has_the_bits_it_had(string name, params string[] settings)
    {
        using var folder = new TemporaryFolder();
        var options = LocalCluster.Options([.. settings, "workers=2", $"name={name}"]);
        var run = await LocalCluster.RunAsync(folder.At("run"), options, tasks: name == "pattern" ? PatternTask.Catalog : BuiltInTasks.Catalog());
        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        var path = Path.Combine(Root(), "tests", "golden", $"{name}.txt");
        var actual = run.Metrics.Select(line => new Line(
            line.GetProperty("step").GetInt64(), line.GetProperty("loss").GetDouble(), line.GetProperty("weightsHash").GetString()!)).ToList();
        if (Environment.GetEnvironmentVariable("DISTTRAIN_WRITE_GOLDEN") == "1")
        {
            Directory.CreateDirectory(Path.GetDirectoryName(path)!);
            File.WriteAllLines(path, [.. Header(options), .. actual.Select(line => line.ToString())]);
        }

        var golden = File.ReadAllLines(path);
        var expected = golden.Where(line => !line.StartsWith('#')).Select(Line.Parse).ToList();
        Assert.Equal(expected.Count, actual.Count);
        if (Header(options).Where(IsKind).SequenceEqual(golden.Where(IsKind)))
        {
            Assert.Equal(golden.Where(line => !line.StartsWith('#')), actual.Select(line => line.ToString()));
        }
        else
        {
            Assert.All(expected.Zip(actual), pair => Assert.InRange(
                pair.Second.Loss, pair.First.Loss * (1 - Tolerance), pair.First.Loss * (1 + Tolerance)));
        }

        static bool IsKind(string line) => line.StartsWith("# libtorch:", StringComparison.Ordinal) || line.StartsWith("# machine:", StringComparison.Ordinal);
    }

    private static IEnumerable<string> Header(RunOptions options)
    {
        var identity = OptionsReader.IdentityLines(options).Where(line => !line.StartsWith("seed", StringComparison.Ordinal));
        return
        [
            "# step, bits of the loss, hash of the weights. Written by DISTTRAIN_WRITE_GOLDEN=1.",
            $"# options: {string.Join(' ', identity)}",
            $"# seed: {options.Seed}",
            $"# libtorch: {torch.__version__}",
            $"# machine: {RuntimeInformation.ProcessArchitecture} {Vendor()} {Arithmetic.Describe()}",
        ];
    }

    private static string Vendor() =>
        File.Exists("/proc/cpuinfo")
            ? File.ReadLines("/proc/cpuinfo").FirstOrDefault(line => line.StartsWith("vendor_id", StringComparison.Ordinal))?.Split(':')[1].Trim() ?? "unknown"
            : "unknown";

    private static string Root()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "DistTrain.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("DistTrain.sln is in no folder above the tests.");
        }

        return folder;
    }

    private sealed record Line(long Step, double Loss, string Hash)
    {
        public static Line Parse(string line) => line.Split(' ') is [var step, var loss, var hash]
            ? new Line(
                long.Parse(step, CultureInfo.InvariantCulture),
                BitConverter.Int64BitsToDouble(long.Parse(loss, NumberStyles.HexNumber, CultureInfo.InvariantCulture)),
                hash)
            : throw new FormatException($"'{line}' is no step of a golden trajectory.");

        public override string ToString() => $"{Step} {BitConverter.DoubleToInt64Bits(Loss):x16} {Hash}";
    }
}
