using DistTrain.Core.Data;

namespace DistTrain.Training.Tasks;

/// <summary>
/// What a task's record of <c>data</c> keys implements to say which files its data consist of: these and no others are given to workers that get them from the
/// coordinator (<c>data.stream</c>). A record that does not implement it means the file at <c>data.path</c>, or every file below that folder.
/// </summary>
public interface IDataFiles
{
    /// <summary>Finds the files on this host. They are not read, and need not fit together; whoever trains on them sees that.</summary>
    /// <param name="path"><c>data.path</c>, or where what lies at <c>data.url</c> was put; null where neither is set.</param>
    /// <exception cref="DataException">They are not there.</exception>
    DataFiles Find(string? path);
}
