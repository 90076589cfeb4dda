using DistTrain.Coordinator;
using DistTrain.Core.Journals;

namespace DistTrain.Plans;

/// <summary>The size of micro-batches that the workers of a run have found, where its configuration leaves that to them.</summary>
internal static class FoundMicroBatch
{
    /// <summary>What the journal says that lies beside a configuration; 0 where there is none, or it does not say.</summary>
    /// <param name="configuration">The file that was named; null for none.</param>
    public static int Beside(string? configuration)
    {
        var folder = Path.GetDirectoryName(configuration);
        var journal = folder is null ? null : CoordinatorHost.JournalIn(folder);
        try
        {
            return File.Exists(journal) && JournalText.Read(File.ReadAllBytes(journal)).Entries.OfType<JournalEntry.MicroBatch>().LastOrDefault() is { } found ? found.Size : 0;
        }
        catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
        {
            return 0;
        }
    }
}
