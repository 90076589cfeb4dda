using System.Globalization;
using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Runs;

/// <summary>Real runs are asked: the answers are those of the weights that were evaluated.</summary>
public sealed class PredictRunTests : IDisposable
{
    private const int Validation = 360;
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>With an average, the weights themselves would give another accuracy.</summary>
    [Theory]
    [InlineData("0")]
    [InlineData("0.95")]
    public async Task The_answers_are_those_that_were_evaluated(string average)
    {
        await TrainAsync("digits", "model.name=mlp", "stop.epochs=0", "stop.steps=9", $"average.decay={average}");
        var accuracy = double.Parse((string)JsonNode.Parse(File.ReadAllText(_folder["run/summary.json"]))!["validation"]!["accuracy"]!.ToJsonString(), CultureInfo.InvariantCulture);

        var lines = (await PredictAsync("--count", $"{Validation}")).TrimEnd('\n').Split('\n');
        Assert.Equal(Validation, lines.Length);
        Assert.All(lines, line => Assert.Matches(@"^image \d+: \d, probability [01]\.\d{4}, labelled \d$", line));
        Assert.Equal(accuracy, lines.Count(line => line[^1] == line[line.IndexOf(": ", StringComparison.Ordinal) + 2]) / (double)Validation, 1e-9);

        // Before the first step nothing was learned.
        var first = await Command.RunAsync("predict", _folder["run/checkpoints/step-00000000"], "--json", "--count", "3");
        var answer = JsonNode.Parse(first.Out)!;
        Assert.Equal((0, 0L), (first.Code, (long)answer["step"]!));
        Assert.Equal($"{_folder["run/checkpoints/step-00000000"]} answers, step 0.\n", first.Error);
        var images = answer["answer"]!.AsArray();
        Assert.Equal([0, 1, 2], images.Select(i => (int)i!["image"]!));
        Assert.All(images, image => Assert.InRange((double)image!["probability"]!, 0.1, 1));
        var names = images.Select(i => string.Create(CultureInfo.InvariantCulture, $"image {i!["image"]}: {i["label"]}, probability {(double)i["probability"]!:0.0000}, labelled {i["trueLabel"]}"));
        Assert.NotEqual(lines[..3], names);
        Assert.Equal(lines[..3].Select(l => l[^1]), names.Select(l => l[^1]));

        // From within its folder it has no name but a dot.
        var dot = await Command.RunAsync("predict", _folder["run/checkpoints/step-00000000/."], "--count", "3");
        Assert.Equal((0, string.Join('\n', names) + "\n"), (dot.Code, dot.Out));
    }

    [Fact]
    public async Task Text_is_drawn_by_a_seed()
    {
        await TrainAsync(
            "gpt-bytes", "model.window=16", "model.width=16", "model.layers=1", "model.heads=1", "batch.micro=16", "optimizer.learningRate=0.02", "stop.epochs=0", "stop.steps=20");
        var text = await PredictAsync("--prompt", "LIBERTY, n.", "--length", "60");
        Assert.StartsWith("LIBERTY, n.", text, StringComparison.Ordinal);
        Assert.Equal(text, await PredictAsync("--prompt", "LIBERTY, n.", "--length", "60"));
        Assert.NotEqual(text, await PredictAsync("--prompt", "LIBERTY, n.", "--length", "60", "--seed", "2"));
    }

    [Fact]
    public async Task What_does_not_concern_the_task_is_refused()
    {
        await TrainAsync("digits", "model.name=mlp", "stop.epochs=0", "stop.steps=1");
        var ended = await Command.RunAsync("predict", _folder["run"], "--prompt", "hello", "--seed", "1", "--count", "2");
        Assert.Equal(
            (2, "", "error: --prompt and --seed have no effect with the task image-classification, which takes --input, --count.\n"), (ended.Code, ended.Out, ended.Error));
    }

    [Fact]
    public async Task Data_that_lie_elsewhere_are_named()
    {
        Directory.CreateDirectory(_folder["there"]);
        File.WriteAllText(_folder["text"], string.Concat(Enumerable.Repeat("to be or not to be\n", 50)));
        await TrainAsync(
            "gpt-bytes", "data.name=file", $"data.path={_folder["text"]}", "model.window=8", "model.width=8", "model.layers=1", "model.heads=1", "stop.epochs=0", "stop.steps=1");
        var answer = await PredictAsync("--length", "9");
        File.Move(_folder["text"], _folder["there/text"]);
        var ended = await Command.RunAsync("predict", _folder["run"]);
        Assert.Equal(1, ended.Code);
        Assert.Contains("name the place by --data.", ended.Error, StringComparison.Ordinal);
        Assert.Equal(answer, await PredictAsync("--length", "9", "--data", _folder["there/text"]));
    }

    [Fact]
    public async Task A_damaged_checkpoint_is_never_asked()
    {
        await TrainAsync("digits", "model.name=mlp", "stop.epochs=0", "stop.steps=1");
        var file = _folder["run/checkpoints/step-00000001/model.safetensors"];
        var bytes = File.ReadAllBytes(file);
        bytes[^1000] ^= 1;
        File.WriteAllBytes(file, bytes);
        var ended = await Command.RunAsync("predict", _folder["run"]);
        Assert.Equal((1, "", $"error: {file} is damaged, its SHA-256 is not the manifest's: use another checkpoint of the run.\n"), (ended.Code, ended.Out, ended.Error));

        var manifest = _folder["run/checkpoints/step-00000001/manifest.json"];
        File.Copy(_folder["run/checkpoints/step-00000000/manifest.json"], manifest, overwrite: true);
        ended = await Command.RunAsync("predict", _folder["run"]);
        Assert.Equal((1, $"error: {manifest} is of step 0, its folder of step 1: use another checkpoint of the run.\n"), (ended.Code, ended.Error));

        using (var large = File.OpenWrite(manifest))
        {
            large.SetLength((64 << 20) + 1);
        }

        ended = await Command.RunAsync("predict", _folder["run"]);
        Assert.StartsWith($"error: {manifest} is damaged, it has more than ", ended.Error, StringComparison.Ordinal);

        File.WriteAllText(manifest, "{\"format\":2,\"step\":1,\"files\":[]}");
        ended = await Command.RunAsync("predict", _folder["run"]);
        Assert.Equal(1, ended.Code);
        Assert.Contains("manifest.json is damaged, or lists no model.safetensors", ended.Error, StringComparison.Ordinal);
    }

    private async Task TrainAsync(string recipe, params string[] settings)
    {
        var run = await Command.RunAsync(["train", recipe, "--workers", "1", "--out", _folder["run"], .. settings.SelectMany(s => new[] { "--set", s })]);
        Assert.Equal((0, ""), (run.Code, run.Error));
    }

    private async Task<string> PredictAsync(params string[] options)
    {
        var ended = await Command.RunAsync(["predict", _folder["run"], .. options]);
        Assert.Equal(0, ended.Code);
        Assert.Matches(@"^\S+/checkpoints/step-\d{8} answers, step \d+\.\n$", ended.Error);
        return ended.Out;
    }
}
