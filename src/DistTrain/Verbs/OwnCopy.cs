using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary>A coordinator's own copy of the data that it gives to workers, kept where it is until the end.</summary>
internal sealed class OwnCopy(TaskCatalog tasks, RunOptions options, Surroundings surroundings) : IDisposable
{
    private HeldData? _data;

    /// <summary>Gets the data onto this machine, and says which files they consist of.</summary>
    /// <param name="say">Told what is done meanwhile.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<DataFiles> FindAsync(Action<string> say, CancellationToken cancellation)
    {
        var host = new DataHost
        {
            Time = surroundings.Time,
            Say = sentence =>
            {
                say(sentence);
                surroundings.Error.WriteLine(sentence);
            },
        };
        _data = await host.TakeAsync(options, cancellation);
        return tasks.Files(options, _data.Path);
    }

    /// <inheritdoc/>
    public void Dispose() => _data?.Dispose();
}
