using System.Text.Json.Nodes;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>Two runs held against each other.</summary>
public sealed class VerifyTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task Equal_runs_are_equal_whatever_their_workers_and_times()
    {
        Run("a", Line(1, "h1", ms: 5, workers: 1), Line(2, "h2", ms: 6, workers: 1));
        Run("b", Line(1, "h1", ms: 7, workers: 3), Line(2, "h2", ms: 8, workers: 2));
        Assert.Equal((0, "The runs are the same, bit for bit: 2 steps, weights h2 after step 2.\n", ""), await VerifyAsync());
    }

    [Fact]
    public async Task The_first_step_that_differs_is_named()
    {
        Run("a", Line(1, "h1"), Line(2, "h2"), Line(3, "h3"));
        Run("b", Line(1, "h1"), Line(2, "x2"), Line(3, "x3"));
        var (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Equal($"The runs differ from step 2 on: weightsHash is h2 in {_folder["a/metrics.jsonl"]} and x2 in {_folder["b/metrics.jsonl"]}.\n", text);
    }

    [Fact]
    public async Task A_loss_that_differs_in_its_last_digit_differs()
    {
        Run("a", Line(1, "h1", loss: "0.30000000000000004"));
        Run("b", Line(1, "h1", loss: "0.3"));
        var (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Contains("from step 1 on: loss is 0.30000000000000004", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_shorter_run_is_not_equal()
    {
        Run("a", Line(1, "h1"), Line(2, "h2"), Line(3, "h3"));
        Run("b", Line(1, "h1"));
        var (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Equal($"{_folder["b/metrics.jsonl"]} ends at step 1, {_folder["a/metrics.jsonl"]} goes on to step 3; the 1 step before is the same.\n", text);
    }

    [Fact]
    public async Task A_gap_is_not_equal()
    {
        Run("a", Line(1, "h1"), Line(3, "h3"));
        Run("b", Line(1, "h1"), Line(2, "h2"), Line(3, "h3"));
        var (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Contains("has no step 2", text, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Of_a_step_that_was_computed_twice_the_last_line_counts()
    {
        Run("a", Line(1, "h1"), Line(2, "wrong"), Line(2, "h2"));
        Run("b", Line(1, "h1"), Line(2, "h2"));
        Assert.Equal(0, (await VerifyAsync()).Code);
    }

    [Fact]
    public async Task A_field_that_only_one_program_writes_is_no_difference()
    {
        Run("a", """{"step":1,"loss":1,"weightsHash":"h"}""");
        Run("b", """{"step":1,"loss":1,"weightsHash":"h","noiseScale":3}""");
        Assert.Equal(0, (await VerifyAsync()).Code);
    }

    [Theory]
    [InlineData("{\"step\":2,\"weig")]
    [InlineData("\0\0\0\0")]
    public async Task A_last_line_that_is_torn_is_left_out(string torn)
    {
        Run("a", Line(1, "h1"));
        _folder.File("b/metrics.jsonl", Line(1, "h1") + "\n" + torn);
        var (code, text, error) = await VerifyAsync();
        Assert.Equal((0, "The runs are the same, bit for bit: 1 step, weights h1 after step 1.\n"), (code, text));
        Assert.Equal($"warning: {_folder["b/metrics.jsonl"]} is torn: line 2, the last one, is left out, as a process that is killed may leave half a line.\n", error);

        var (_, json, _) = await Cli.RunAsync("verify", _folder["a"], _folder["b"], "--json");
        Assert.Contains("line 2, the last one,", (string)Assert.Single(JsonNode.Parse(json)!["remarks"]!.AsArray())!, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Evaluations_are_compared()
    {
        Run("a", Line(1, "h1"), Line(2, "h2"));
        Run("b", Line(1, "h1"), Line(2, "h2"));
        Evaluate("a", (1, "0.5", "0.25"), (2, "0.4", "0.75"));
        Evaluate("b", (1, "0.5", "0.25"), (2, "0.4", "0.75"));
        Assert.Equal((0, "The runs are the same, bit for bit: 2 steps and 2 evaluations, weights h2 after step 2.\n", ""), await VerifyAsync());

        // Of one that was computed again, the last counts.
        Evaluate("b", (1, "0.5", "0.25"), (2, "9", "9"), (2, "0.4", "0.75"));
        Assert.Equal(0, (await VerifyAsync()).Code);

        Evaluate("b", (1, "0.5", "0.25"), (2, "0.4", "0.5"));
        var (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Equal($"The evaluations after step 2 differ: accuracy is 0.75 in the run of {_folder["a/metrics.jsonl"]} and 0.5 in that of {_folder["b/metrics.jsonl"]}.\n", text);

        Evaluate("b", (2, "0.4", "0.75"));
        (code, text, _) = await VerifyAsync();
        Assert.Equal(1, code);
        Assert.Equal($"The runs differ after step 1: it is evaluated in the run of {_folder["a/metrics.jsonl"]}, and not in that of {_folder["b/metrics.jsonl"]}.\n", text);
    }

    [Theory]
    [InlineData("{\"step\":1,\"weightsHash\":\"h\"}\n{\"step\":2,\"weig\n{\"step\":3,\"weightsHash\":\"h\"}\n", "is damaged: line 2 is no step's line")]
    [InlineData("{\"step\":1,\"weightsHash\":\"h\"}\n\0\0\0\0\n", "is damaged: line 2 is no step's line")]
    [InlineData("{\"step\":1}\n", "is damaged: line 1 is no step's line")]
    [InlineData("[1]\n", "is damaged: line 1 is no step's line")]
    [InlineData("{\"step\":1,\"weig", "holds no steps")]
    [InlineData("", "holds no steps")]
    public async Task A_damaged_file_is_one_sentence_and_exit_code_1(string text, string sentence)
    {
        Run("a", Line(1, "h"));
        _folder.File("b/metrics.jsonl", text);
        var (code, output, error) = await VerifyAsync();
        Assert.Equal((1, ""), (code, output));
        Assert.StartsWith($"error: {_folder["b/metrics.jsonl"]} {sentence}", error, StringComparison.Ordinal);
        Assert.Equal('\n', Assert.Single(error, c => c == '\n'));
    }

    [Fact]
    public async Task A_missing_run_is_one_sentence_and_exit_code_2()
    {
        Run("a", Line(1, "h"));
        Assert.Equal((2, "", $"error: {_folder["b"]} does not exist: give a run's folder.\n"), await VerifyAsync());
        Directory.CreateDirectory(_folder["b"]);
        Assert.Equal((1, "", $"error: {_folder["b"]} holds no metrics.jsonl: it is not a run's folder, or no step was finished.\n"), await VerifyAsync());
    }

    [Fact]
    public async Task Json_names_the_difference()
    {
        Run("a", Line(1, "h1"), Line(2, "h2"));
        Run("b", Line(1, "h1"), Line(2, "x2"));
        var (code, text, _) = await Cli.RunAsync("verify", _folder["a"], _folder["b"], "--json");
        var json = JsonNode.Parse(text)!;
        Assert.Equal((1, false, 1L, 2L, "weightsHash"), (code, (bool)json["equal"]!, (long)json["equalSteps"]!, (long)json["firstDifference"]!["step"]!, (string)json["firstDifference"]!["field"]!));
    }

    private Task<(int Code, string Out, string Error)> VerifyAsync() => Cli.RunAsync("verify", _folder["a"], _folder["b"]);

    private void Run(string name, params string[] lines) => _folder.File($"{name}/metrics.jsonl", string.Join('\n', lines) + "\n");

    private void Evaluate(string name, params (long Step, string Loss, string Accuracy)[] evaluations) => _folder.File(
        $"{name}/evaluations.jsonl",
        string.Concat(evaluations.Select(e => $$$"""{"step":{{{e.Step}}},"samples":9,"loss":{{{e.Loss}}},"metrics":{"accuracy":{{{e.Accuracy}}}},"weightsHash":"h"}""" + "\n")));

    private static string Line(long step, string hash, string loss = "0.5", double ms = 1, int workers = 2) =>
        $$"""{"step":{{step}},"epoch":0,"loss":{{loss}},"lr":0.1,"worldSize":{{workers}},"stepMs":{{ms}},"weightsHash":"{{hash}}"}""";
}
