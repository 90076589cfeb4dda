using DistTrain.Measuring;

namespace DistTrain.Cli.Tests.Measuring;

/// <summary>What a killed measurement leaves behind goes with the next one, and nothing else does.</summary>
public sealed class MeasuringFolderTests : IDisposable
{
    private readonly TempFolder _parent = new();

    public void Dispose() => _parent.Dispose();

    [Fact]
    public void It_goes_when_it_is_done()
    {
        var folder = MeasuringFolder.Create();
        Directory.CreateDirectory(Path.Combine(folder.Path, "run"));
        File.WriteAllText(Path.Combine(folder.Path, "run", "file"), "text");
        folder.Dispose();
        Assert.False(Directory.Exists(folder.Path));
    }

    [Fact]
    public void One_that_nobody_owns_any_more_is_removed()
    {
        _parent.File("disttrain-measure-killed/owner", "");
        _parent.File("disttrain-measure-killed/run/journal", "text");
        _parent.File("else/owner", "");
        Directory.CreateDirectory(_parent["disttrain-measure-new"]);
        MeasuringFolder.RemoveAbandoned(_parent.Path);
        Assert.Equal(
            [_parent["disttrain-measure-new"], _parent["else"]], Directory.EnumerateFileSystemEntries(_parent.Path).Order(StringComparer.Ordinal));
    }

    [Fact]
    public void One_that_somebody_owns_stays_when_the_next_is_created()
    {
        var abandoned = Directory.CreateTempSubdirectory("disttrain-measure-").FullName;
        File.WriteAllText(Path.Combine(abandoned, "owner"), "");
        using var first = MeasuringFolder.Create();
        using var second = MeasuringFolder.Create();
        Assert.True(Directory.Exists(first.Path));
        Assert.False(Directory.Exists(abandoned));
    }
}
