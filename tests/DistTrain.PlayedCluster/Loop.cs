namespace DistTrain.PlayedCluster;

/// <summary>The frame of everything that runs beside a play. What breaks it is a bug of the played cluster, and no result of a play: the program ends with 70.</summary>
internal static class Loop
{
    private const int SoftwareError = 70;

    /// <summary>Runs until it is done, or all is over.</summary>
    public static async Task RunAsync(Func<Task> loop, Action<string> say, CancellationToken over)
    {
        try
        {
            await loop();
        }
        catch (OperationCanceledException) when (over.IsCancellationRequested)
        {
            // It is over.
        }
        catch (Exception e)
        {
            say($"THE PLAYED CLUSTER ITSELF HAS FAILED: {e}");
            Environment.Exit(SoftwareError);
        }
    }
}
