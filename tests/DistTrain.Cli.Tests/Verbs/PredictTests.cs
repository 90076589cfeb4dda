using DistTrain.Training.Checkpoints;
using DistTrain.Training.Tasks;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>A run that cannot be asked says why in one sentence. What runs answer is among the real runs.</summary>
public sealed class PredictTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task What_holds_no_checkpoint_is_one_sentence_and_exit_code_1()
    {
        _folder.File("run/config.yaml", "task: toy\n");
        await FailsAsync($"{_folder["run"]} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");

        // What a killed run leaves half-written is no checkpoint.
        _folder.File("run/checkpoints/step-00000004.1.tmp/manifest.json", "{}");
        await FailsAsync($"{_folder["run"]} holds no checkpoint: give the folder of a run that wrote one, or of a checkpoint.");
        await FailsAsync($"{_folder["run/config.yaml"]} is a file: give the folder of a run, or of one of its checkpoints.", "run/config.yaml");
    }

    [Fact]
    public async Task A_checkpoint_that_is_incomplete_is_not_passed_over_in_silence()
    {
        Directory.CreateDirectory(_folder["run/checkpoints/step-00000008"]);
        var newest = _folder["run/checkpoints/step-00000008"];
        await FailsAsync($"{newest} is incomplete, it has no manifest.json, and there is no other: give the folder of another run.");
        await FailsAsync($"{newest} is incomplete, it has no manifest.json: use another checkpoint of the run.", "run/checkpoints/step-00000008");

        _folder.File("run/checkpoints/step-00000002/manifest.json", "{}");
        _folder.File("run/checkpoints/step-00000004/manifest.json", "{}");
        await FailsAsync(
            $"{newest} is incomplete, it has no manifest.json. The newest that is complete is {_folder["run/checkpoints/step-00000004"]}: give that folder to ask it.");
    }

    [Fact]
    public async Task A_checkpoint_under_another_name_says_where_it_belongs()
    {
        _folder.File("copy/manifest.json", "{}");
        await FailsAsync(
            $"{_folder["copy"]} is a checkpoint under another name, apart from its run: give step-NNNNNNNN in the folder of the run, which says how its model is built.", "copy");
    }

    [Fact]
    public async Task A_task_that_cannot_be_created_says_so_and_where_data_are_named()
    {
        await TrainAsync();
        var more = File.ReadAllText(_folder["run/config.yaml"]);
        _folder.File("run/config.yaml", more.Replace("count: 40", "count: -1", StringComparison.Ordinal));
        const string data = " predict needs the run's data, too: where this machine keeps them elsewhere, name the place by --data.";
        await FailsAsync("data.path holds no numbers: put some there." + data);
        _folder.File("run/config.yaml", more.Replace("count: 40", "count: -2", StringComparison.Ordinal));
        await FailsAsync("The task toy cannot be created: Nobody counts to -2." + data);
    }

    [Fact]
    public void A_checkpoint_that_is_pruned_while_it_is_read_gives_way_to_the_newest()
    {
        _folder.File("run/checkpoints/step-00000001/manifest.json", "{}");
        var asked = new List<long>();
        var read = CheckpointFolder.Read(_folder["run"], checkpoint =>
        {
            asked.Add(checkpoint.Step);
            if (checkpoint.Step == 3)
            {
                return "read";
            }

            _folder.File($"run/checkpoints/step-0000000{checkpoint.Step + 1}/manifest.json", "{}");
            Directory.Delete(checkpoint.Path, recursive: true);
            throw new DataException("It is gone.");
        });
        Assert.Equal("read", read);
        Assert.Equal([1L, 2L, 3L], asked);

        // One that stays is at fault itself; and there is an end to it.
        Assert.Throws<DataException>(() => CheckpointFolder.Read<int>(_folder["run"], _ => throw new DataException("It is damaged.")));
        asked.Clear();
        Assert.Throws<DataException>(() => CheckpointFolder.Read<int>(_folder["run"], checkpoint =>
        {
            asked.Add(checkpoint.Step);
            _folder.File($"run/checkpoints/step-0000000{checkpoint.Step + 1}/manifest.json", "{}");
            throw new DataException("It is gone.");
        }));
        Assert.Equal(5, asked.Count);
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

    private async Task FailsAsync(string sentence, string folder = "run") =>
        Assert.Equal((1, "", $"error: {sentence}\n"), await Cli.RunAsync("predict", _folder[folder]));
}
