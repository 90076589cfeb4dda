using DistTrain.Training.Data;

namespace DistTrain.Training.Tests.Data;

/// <summary>Downloads go where the user says, else where the XDG Base Directory Specification does.</summary>
[Collection(AloneInProcess.Name)]
public sealed class CacheFolderTests : IDisposable
{
    private const string Variable = "XDG_CACHE_HOME";
    private readonly string? _before = Environment.GetEnvironmentVariable(Variable);
    private readonly string? _own = Environment.GetEnvironmentVariable(CacheFolder.Variable);

    public CacheFolderTests() => Environment.SetEnvironmentVariable(CacheFolder.Variable, null);

    [Theory]
    [InlineData("/mine", "/mine/clothes")]
    [InlineData("/mine/../yours", "/yours/clothes")]
    [InlineData("", "/somewhere/cache/disttrain/clothes")]
    public void The_programs_own_variable_comes_before_all(string value, string folder)
    {
        Environment.SetEnvironmentVariable(Variable, "/somewhere/cache");
        Environment.SetEnvironmentVariable(CacheFolder.Variable, value);

        Assert.Equal(folder, CacheFolder.Find("clothes"));
    }

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

    public void Dispose()
    {
        Environment.SetEnvironmentVariable(Variable, _before);
        Environment.SetEnvironmentVariable(CacheFolder.Variable, _own);
    }
}
