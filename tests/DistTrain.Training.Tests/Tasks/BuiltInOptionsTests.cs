using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;

namespace DistTrain.Training.Tests.Tasks;

/// <summary>What depends on each other among the keys of the built-in tasks is reported before anything is started.</summary>
public sealed class BuiltInOptionsTests
{
    private const string Text = "task=language-model model.name=gpt data.name=devils-dictionary";
    private const string Address = "data.url=http://h/x data.sha256=e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    private const string Images = "task=image-classification model.name=mlp data.name=digits";

    [Theory]
    [InlineData(Text + " data.path=/mine.txt", "data.path is '/mine.txt': has no effect with data.name devils-dictionary; set data.name to file.")]
    [InlineData(Text + " data.name=file", "data.path is not set: set it to a text file.")]
    [InlineData(Text + " model.width=127 model.heads=4", "model.heads is '4': must divide model.width, which is 127.")]
    [InlineData(Images + " data.path=/mine", "data.path is '/mine': has no effect with data.name digits; set data.name to idx or fashion-mnist.")]
    [InlineData(Images + " data.name=idx",
        "data.path is not set: set it to the folder with train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte.")]
    [InlineData(Images + " data.name=fashion-mnist data.path=/mine", null)]
    [InlineData(Text + " data.name=file data.path=/mine.txt", null)]
    [InlineData(Text + " " + Address, "data.url is 'http://h/x': has no effect with data.name devils-dictionary; set data.name to file.")]
    [InlineData(Text + " data.name=file " + Address, null)]
    [InlineData(Text + " data.name=file data.stream=true " + Address, null)]
    [InlineData(Text + " data.name=file data.stream=true data.path=/mine.txt", null)]
    [InlineData(Text + " data.name=file data.stream=true", "data.path is not set: set it to a text file.")]
    [InlineData(Text + " data.stream=true", "data.stream is 'true': has no effect with data.name devils-dictionary; set data.name to file.")]
    [InlineData(Images + " data.stream=true", "data.stream is 'true': has no effect with data.name digits; set data.name to idx or fashion-mnist.")]
    [InlineData(Images + " data.name=fashion-mnist data.stream=true", null)]
    [InlineData(Images + " data.name=idx " + Address, null)]
    [InlineData(Images + " data.name=idx data.path=/mine " + Address, "data.path is '/mine': data.url says where the data lie, too; keep one of the two.")]
    public void A_relation_that_does_not_hold_is_a_problem_of_its_key(string settings, string? problem)
    {
        var values = settings.Split(' ').Select(s => s.Split('=')).GroupBy(s => s[0]).ToDictionary(g => g.Key, g => g.Last()[1]);
        var (options, problems) = OptionsReader.ReadRun(new Dictionary<string, string>(values) { ["stop.epochs"] = "1" });
        Assert.Empty(problems);
        Assert.Equal(problem is null ? [] : [problem], BuiltInTasks.Catalog().Check(options).Select(p => p.ToString()));
    }

    [Fact]
    public void A_key_that_says_how_data_come_cannot_be_a_tasks_own() => Assert.StartsWith(
        "Clashing has the key data.cache, which says for all tasks how workers get their data: name it otherwise.",
        Assert.Throws<ArgumentException>(() => BuiltInTasks.Catalog().Add<ImageModelOptions, Clashing>("mine", _ => throw new NotSupportedException())).Message,
        StringComparison.Ordinal);

    [Fact]
    public void A_task_without_a_path_has_one_way_only()
    {
        var catalog = BuiltInTasks.Catalog().Add<ImageModelOptions, Pathless>("mine", _ => throw new NotSupportedException());
        var (options, _) = OptionsReader.ReadRun(new Dictionary<string, string> { ["task"] = "mine", ["model.name"] = "mlp", ["data.name"] = "x", ["data.stream"] = "true", ["stop.steps"] = "1" });
        Assert.Equal(["data.stream is 'true': no such key; see disttrain train --help."], catalog.Check(options).Select(p => p.ToString()));
    }

    private sealed record Clashing
    {
        public string? Path { get; init; }

        public int Cache { get; init; }
    }

    private sealed record Pathless
    {
        public int Samples { get; init; }
    }
}
