namespace DistTrain.Cli.Tests.Verbs;

/// <summary>A run that cannot be asked says why in one sentence. What runs answer is among the real runs.</summary>
public sealed class PredictTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_missing_run_or_checkpoint_is_one_sentence_and_exit_code_1()
    {
        await FailsAsync($"{_folder["run"]} does not exist: give the folder of a run, or of one of its checkpoints.");
        _folder.File("run/config.yaml", "task: toy\n");
        await FailsAsync($"{_folder["run"]} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");

        // What a killed run leaves half-written is no checkpoint.
        _folder.File("run/checkpoints/step-00000004.1.tmp/manifest.json", "{}");
        Directory.CreateDirectory(_folder["run/checkpoints/step-00000008"]);
        await FailsAsync($"{_folder["run"]} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");
    }

    [Fact]
    public async Task A_task_that_answers_nothing_says_what_it_lacks()
    {
        await TrainAsync();
        await FailsAsync("The task toy predicts nothing: implement IPredictor in ToyTask, beside ITrainingTask.");
    }

    [Fact]
    public async Task A_run_without_its_configuration_cannot_be_asked()
    {
        await TrainAsync();
        File.Delete(_folder["run/config.yaml"]);
        await FailsAsync($"{_folder["run/config.yaml"]} does not exist: give the folder of a run, which says how its model is built.");
    }

    [Fact]
    public async Task A_damaged_configuration_is_bad_configuration()
    {
        await TrainAsync();
        _folder.File("run/config.yaml", "task: toy\nmodel: { name: mlp }\ndata: { name: numbers }\nstop: { epochs: never }\n");
        var (code, text, error) = await Cli.RunAsync("predict", _folder["run"]);
        Assert.Equal((2, ""), (code, text));
        Assert.Contains("stop.epochs is 'never'", error, StringComparison.Ordinal);
    }

    /// <summary>What a run of the toy would leave.</summary>
    private async Task TrainAsync()
    {
        var (code, text, _) = await Cli.RunAsync("recipes", "toy");
        Assert.Equal(0, code);
        _folder.File("run/config.yaml", text);
        _folder.File("run/checkpoints/step-00000004/manifest.json", "{}");
    }

    private async Task FailsAsync(string sentence) =>
        Assert.Equal((1, "", $"error: {sentence}\n"), await Cli.RunAsync("predict", _folder["run"]));
}
