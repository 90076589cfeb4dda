using DistTrain.Configuration;
using DistTrain.Core.Batches;
using DistTrain.Core.Options;

namespace DistTrain.Cli.Tests.Configuration;

/// <summary>The layers of a configuration, and a sentence for every mistake.</summary>
public sealed class RunConfigurationTests : IDisposable
{
    private const string Toy = "task: toy\nmodel: { name: mlp, hidden: 8 }\ndata: { name: numbers, count: 40 }\nstop: { epochs: 1 }\n";
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void Each_layer_wins_over_the_one_below()
    {
        var file = _folder.File("run.yaml", Toy + "seed: 1\nbatch: { global: 100, micro: 10, blocks: 8 }\n");
        var read = Read(file, ["batch.blocks=2", "seed=3", "seed=4"], new() { ["DISTTRAIN__BATCH__MICRO"] = "5", ["DISTTRAIN__SEED"] = "2" }, workers: "7");
        Assert.Empty(read.Problems);
        Assert.Equal(new BatchGeometry(100, 5, 2), read.Options.Geometry);
        Assert.Equal(4UL, read.Options.Seed);
        Assert.Equal(7, read.Options.Workers);
    }

    [Fact]
    public void A_recipe_is_found_by_its_name_and_is_the_default_where_it_is_the_only_one()
    {
        Assert.Equal("toy", Read("toy", []).Options.Name);
        Assert.Equal("toy", Read(null, []).Options.Name);
    }

    [Fact]
    public void The_spelling_of_a_key_does_not_change_the_run()
    {
        var plain = Read("toy", ["optimizer.learningRate=0.5", "model.hidden=3"]);
        var loud = Read("toy", [], new() { ["DISTTRAIN__OPTIMIZER__LEARNINGRATE"] = "0.5", ["DISTTRAIN__MODEL__HIDDEN"] = "3" });
        Assert.Empty(loud.Problems);
        Assert.Equal(OptionsReader.IdentityLines(plain.Options), OptionsReader.IdentityLines(loud.Options));
    }

    [Theory]
    [InlineData("data.path=")]
    [InlineData("clip.globalNorm=")]
    public void An_empty_value_takes_a_key_back_to_its_default(string set)
    {
        var file = _folder.File("run.yaml", Toy + "clip.globalNorm: 5\ndata.path: /somewhere\n");
        var read = Read(file, [set]);
        Assert.Empty(read.Problems);
        Assert.False(OptionsReader.Write(read.Options).TryGetValue(set[..^1], out var value) && value is not "0");
    }

    [Fact]
    public void A_path_to_data_means_the_working_directory_for_good()
    {
        var read = Read(_folder.File("run.yaml", Toy + "data.path: ../there\n"), []);
        Assert.Empty(read.Problems);
        var path = OptionsReader.Write(read.Options)["data.path"];
        Assert.Equal(Path.GetFullPath("../there", Environment.CurrentDirectory), path);
        Assert.Equal(path, OptionsReader.Write(Read("toy", [$"data.path={path}"]).Options)["data.path"]);
    }

    [Fact]
    public void Null_in_a_file_is_no_value()
    {
        var read = Read(_folder.File("run.yaml", Toy + "seed: null\ndata.path: ~\nname:\n"), []);
        Assert.Empty(read.Problems);
        Assert.Equal((1UL, "run"), (read.Options.Seed, read.Options.Name));
    }

    [Theory]
    [InlineData("", "batch.global=0", "batch.global is '0' (--set): must be between 1 and 1099511627776.")]
    [InlineData("", "batch.micro=many", "batch.micro is 'many' (--set): must be a whole number between 1 and 1048576, or auto.")]
    [InlineData("", "batch.globl=5", "batch.globl is '5' (--set): no such key; see disttrain train --help (the nearest is batch.global).")]
    [InlineData("", "batch=512", "batch is '512' (--set): it holds keys of its own, such as batch.global; set those.")]
    [InlineData("", "model=mlp", "model is 'mlp' (--set): it holds keys of its own, such as model.name; set those.")]
    [InlineData("", "model.hiden=5", "model.hiden is '5' (--set): no such key; see disttrain train --help (the nearest is model.hidden).")]
    [InlineData("", "data.count=few", "data.count is 'few' (--set): must be a whole number.")]
    [InlineData("", "data.count=13", "data.count is '13' (--set): brings bad luck; choose another.")]
    [InlineData("", "task=toys", "task is 'toys' (--set): must be one of toy, or a task that your own program adds.")]
    [InlineData("", "task=", "task is not set: set it to what is trained: a built-in task or one your program adds.")]
    [InlineData("", "failureDetection=2", "failureDetection is '2' (--set): must be a duration such as 500ms, 2s or 5m between 200ms and 10m.")]
    [InlineData("", "schedule.name=exp", "schedule.name is 'exp' (--set): must be constant or step or cosine.")]
    [InlineData("", "debug.delayPerMicroBatch=1s", "debug.delayPerMicroBatch is '1s' (--set): it holds keys of its own, such as debug.delayPerMicroBatch.1; set those.")]
    [InlineData("", "stop.epochs=", "stop is not set: set one of stop.epochs, stop.steps or stop.samples above 0.")]
    [InlineData("", "batch.global", "--set 'batch.global': must be KEY=VALUE, such as --set batch.global=4096.")]
    [InlineData("", "=5", "--set '=5': must be KEY=VALUE, such as --set batch.global=4096.")]
    [InlineData("seed: x\n", "name=n", "seed is 'x' (FILE, line 5): must be a whole number, 0 or more.")]
    [InlineData("seed: 1\nSeed: 2\n", "name=n", "FILE, line 6, column 1: Seed is already set on line 5; keep one of the two.")]
    [InlineData("seed: [1, 2]\n", "name=n", "FILE, line 5, column 7: seed is a list where one value belongs; keep one of its entries.")]
    [InlineData("name: &a x\n", "seed=1", "FILE, line 5, column 7: the anchor &a is not supported; remove it and write values where they are used.")]
    [InlineData("seed: *a\n", "name=n", "FILE, line 5, column 7: seed is an alias (*a); write the value itself.")]
    [InlineData("batch:\n  <<: { global: 3 }\n", "name=n", "FILE, line 6, column 3: maps cannot be merged with '<<'; write the keys out.")]
    [InlineData("[a]: 3\n", "name=n", "FILE, line 5, column 1: a key must be a word; write KEY: VALUE.")]
    [InlineData("---\nseed: 3\n", "name=n", "FILE, line 5, column 1: a second document starts here; keep one configuration per file.")]
    public void A_mistake_gets_one_sentence(string more, string set, string sentence)
    {
        var file = _folder.File("run.yaml", Toy + more);
        Assert.Equal([sentence.Replace("FILE", file, StringComparison.Ordinal)], Read(file, [set]).Problems);
    }

    [Theory]
    [InlineData("batch: { global: 3\nseed: 1\n", 2)]
    [InlineData("seed: 1\n\tname: x\n", 2)]
    [InlineData("name: \"x\n", 2)]
    [InlineData("seed: 1\n name: x\n", 2)]
    public void A_syntax_error_names_file_line_column_and_remedy(string text, int line)
    {
        var file = _folder.File("run.yaml", text);
        var problem = Assert.Single(Read(file, []).Problems);
        Assert.StartsWith($"{file}, line ", problem, StringComparison.Ordinal);
        Assert.Contains(", column ", problem, StringComparison.Ordinal);
        Assert.Contains("check the indentation", problem, StringComparison.Ordinal);
        Assert.InRange(int.Parse(problem[(file.Length + 7)..].Split(',')[0]), 1, line + 1);
    }

    [Theory]
    [InlineData("- a\n- b\n")]
    [InlineData("hello\n")]
    public void A_file_that_is_no_map_is_refused(string text)
    {
        var file = _folder.File("run.yaml", text);
        Assert.Equal([$"{file}, line 1, column 1: a configuration is a map; write keys and values such as 'task: image-classification'."], Read(file, []).Problems);
    }

    [Fact]
    public void All_mistakes_of_all_layers_come_at_once()
    {
        var file = _folder.File("run.yaml", Toy + "seed: x\nworkers: 0\n");
        var read = Read(file, ["batch.micro=0", "nonsense"], new() { ["DISTTRAIN__THREADS"] = "none" }, workers: "-1");
        Assert.Equal(
            [
                "--set 'nonsense': must be KEY=VALUE, such as --set batch.global=4096.",
                "batch.micro is '0' (--set): must be between 1 and 1048576, or auto.",
                $"seed is 'x' ({file}, line 5): must be a whole number, 0 or more.",
                "workers is '-1' (--workers): must be between 1 and 4096.",
                "threads is 'none' (environment variable DISTTRAIN__THREADS): must be a whole number between 1 and 256.",
            ],
            read.Problems);
    }

    [Fact]
    public void A_name_that_is_neither_recipe_nor_file_lists_the_recipes()
    {
        Assert.Equal(["'tyo' is neither a recipe nor a file: give the path of a YAML file, or a recipe (the recipes are toy)."], Read("tyo", []).Problems);
        Assert.Equal([$"'{_folder.Path}' is a folder: name the YAML file in it, or a recipe (the recipes are toy)."], Read(_folder.Path, []).Problems);
    }

    [Fact]
    public void A_mistake_on_the_command_line_is_told_even_where_the_file_cannot_be_read() =>
        Assert.Equal(2, Read("tyo", ["seed=x"]).Problems.Count);

    [Fact]
    public void A_file_that_is_far_too_long_is_refused_unread()
    {
        var file = _folder.File("run.yaml", new string('#', YamlTable.MaxLength + 5));
        Assert.Contains("a configuration has at most", Assert.Single(Read(file, []).Problems), StringComparison.Ordinal);
    }

    [Fact]
    public void The_resolved_configuration_reads_back_the_same()
    {
        var first = Read("toy", ["debug.delayPerMicroBatch.1=250ms", "name=a: \"b\" # c", "data.path=/x y", "optimizer.learningRate=1e-05", "seed=18446744073709551615"]);
        Assert.Empty(first.Problems);
        var file = _folder.File("config.yaml", RunConfiguration.Write(first.Options));
        var second = Read(file, []);
        Assert.Empty(second.Problems);
        Assert.Equal(OptionsReader.Write(first.Options), OptionsReader.Write(second.Options));
    }

    private static RunConfiguration Read(string? source, string[] sets, Dictionary<string, string>? environment = null, string? workers = null)
    {
        var recipes = new RecipeShelf();
        recipes.Add(typeof(RunConfigurationTests).Assembly);
        var request = new ConfigurationRequest
        {
            Source = source,
            Sets = sets,
            Environment = environment ?? [],
            Flags = workers is null ? [] : [("--workers", "workers", workers)],
        };
        return RunConfiguration.Read(request, recipes, Cli.Catalog());
    }
}
