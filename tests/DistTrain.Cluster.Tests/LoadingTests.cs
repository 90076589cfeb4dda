using DistTrain.TestKit;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Cluster.Tests;

/// <summary>Whatever breaks off in a run, what its workers loaded ahead is disposed of, and no data set is called twice at once.</summary>
public sealed class LoadingTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_with_generations_that_break_off_leaves_nothing_it_loaded()
    {
        var (accounts, losses) = (new List<LoadAccount>(), 0);
        var tasks = new TaskCatalog().Add<PatternModel, PatternData>("pattern", context =>
        {
            var account = new LoadAccount();
            lock (accounts)
            {
                accounts.Add(account);
            }

            return account.Watch(new FaultyTask(new PatternTask(context), (loss, batch) =>
            {
                // Torch has no room for more than two samples from here on, and workers halve their micro-batches.
                if (Interlocked.Increment(ref losses) >= 100 && batch.Targets.shape[0] > 2)
                {
                    zeros(1L << 48).Dispose();
                }

                return loss;
            }));
        });
        var options = LocalCluster.Options(
            "batch.global=50", "batch.micro=4", "stop.epochs=0", "stop.steps=40", "evaluate.everySteps=7", "workers=3",
            "debug.delayPerMicroBatch.0=5ms", "debug.delayPerMicroBatch.1=5ms", "debug.delayPerMicroBatch.2=5ms");
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), options);
        using var leaving = new CancellationTokenSource();
        var workers = Enumerable.Range(0, 3).Select(number => coordinator.StartWorker(
            coordinator.Worker(number) with { Tasks = tasks }, number == 2 ? leaving.Token : CancellationToken.None)).ToList();
        await coordinator.StepAsync(4);
        await leaving.CancelAsync();
        var run = await coordinator.EndAsync(workers);

        Assert.True(run.Coordinator.Success, run.Coordinator.Sentence);
        Assert.True(run.Summary.GetProperty("generations").GetInt32() >= 3);
        Assert.Equal(3, accounts.Count);
        Assert.All(accounts, account => Assert.Equal((0, false), (account.Left, account.WereTwoAtOnce)));
        Assert.All(accounts, account => Assert.Contains("data", account.Threads));
    }
}
