using DistTrain.Training.Data;

namespace DistTrain.Training.Tests.Data;

/// <summary>Downloads go where the XDG Base Directory Specification says.</summary>
[Collection(AloneInProcess.Name)]
public sealed class CacheFolderTests : IDisposable
{
    private const string Variable = "XDG_CACHE_HOME";
    private readonly string? _before = Environment.GetEnvironmentVariable(Variable);

    [Fact]
    public void The_users_variable_comes_first()
    {
        Environment.SetEnvironmentVariable(Variable, "/somewhere/cache");

        Assert.Equal("/somewhere/cache/disttrain/clothes", CacheFolder.Find("clothes"));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("relative/cache")]
    public void An_unset_or_relative_variable_means_the_home_folder(string? value)
    {
        Environment.SetEnvironmentVariable(Variable, value);
        var home = Environment.GetFolderPath(Environment.SpecialFolder.UserProfile);

        Assert.Equal(home.Length == 0 ? null : $"{home}/.cache/disttrain/clothes", CacheFolder.Find("clothes"));
    }

    public void Dispose() => Environment.SetEnvironmentVariable(Variable, _before);
}
