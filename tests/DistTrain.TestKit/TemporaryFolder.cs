namespace DistTrain.TestKit;

/// <summary>A folder of its own for a test, gone afterwards.</summary>
public sealed class TemporaryFolder : IDisposable
{
    public TemporaryFolder()
    {
        Path = Directory.CreateTempSubdirectory("disttrain-test-").FullName;
    }

    /// <summary>Where it lies.</summary>
    public string Path { get; }

    /// <summary>A place below it.</summary>
    public string At(string name) => System.IO.Path.Combine(Path, name);

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
