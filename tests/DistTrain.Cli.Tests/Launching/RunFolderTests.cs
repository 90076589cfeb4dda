using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>Where a run is kept.</summary>
public sealed class RunFolderTests : IDisposable
{
    private readonly TempFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(true, "config.yaml")]
    [InlineData(true, "config.yaml", "faults.yaml", "logs/coordinator.log")]
    [InlineData(false, "config.yaml", "logs/coordinator.log", "journal/journal.jsonl")]
    [InlineData(false, "config.yaml", "logs/mine.txt")]
    public void A_folder_in_which_no_run_began_is_given_back_and_no_other(bool isGone, params string[] files)
    {
        using var folder = new TempFolder();
        foreach (var file in files)
        {
            Directory.CreateDirectory(Path.GetDirectoryName(folder[$"run/{file}"])!);
            File.WriteAllText(folder[$"run/{file}"], "");
        }

        Assert.Equal(isGone && files.Length == 1, RunFolder.Abandon(folder["run"]));
        Assert.Equal(isGone, files.Length == 1 || RunFolder.Abandon(folder["run"], withLogs: true));
        Assert.Equal(isGone, !Directory.Exists(folder["run"]));
        Assert.All(files, file => Assert.Equal(isGone, !File.Exists(folder[$"run/{file}"])));
    }

    [Fact]
    public void A_folder_is_taken_once()
    {
        Assert.Equal(_folder["toy"], RunFolder.Claim(_folder["toy"], "toy", "x").Folder);
        Assert.NotNull(RunFolder.Claim(_folder["toy"], "toy", "x").Problem);
    }

    [Fact]
    public void Of_many_launches_at_one_moment_each_has_a_folder_of_its_own()
    {
        var parent = Directory.CreateDirectory(_folder["parent"]).FullName;
        var folders = Enumerable.Range(0, 16).AsParallel().WithDegreeOfParallelism(8).Select(i => RunFolder.Claim(null, "toy", $"{i}", parent).Folder!).ToList();
        Assert.Equal(16, folders.Distinct().Count());
        Assert.Equal(Enumerable.Range(0, 16), folders.Select(f => int.Parse(File.ReadAllText(Path.Combine(f, "config.yaml")))).Order());
        Assert.Contains(Path.Combine(parent, "toy"), folders);
        Assert.Contains(Path.Combine(parent, "toy-2"), folders);
    }

    [Theory]
    [InlineData("..")]
    [InlineData("a/b")]
    public void A_name_that_leads_elsewhere_is_refused(string name) =>
        Assert.Equal($"name is '{name}': must be usable as a folder's name; change it or give --out DIR.", RunFolder.Claim(null, name, "x", _folder.Path).Problem);

    [Fact]
    public void A_place_where_no_folder_can_be_made_is_a_sentence()
    {
        var file = _folder.File("file", "x");
        Assert.Contains("cannot be made", RunFolder.Claim(Path.Combine(file, "run"), "toy", "x").Problem, StringComparison.Ordinal);
    }
}
