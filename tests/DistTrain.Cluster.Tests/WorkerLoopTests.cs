using DistTrain.TestKit;
using Microsoft.Extensions.Logging;

namespace DistTrain.Cluster.Tests;

/// <summary>What goes wrong where nobody waits for it: the run hears of it all the same, and ends.</summary>
public sealed class WorkerLoopTests : IDisposable
{
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(60);
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    /// <summary>A worker becomes a member, and says so: there its log fails, and in the second case also where it is to say that it failed.</summary>
    [Theory]
    [InlineData("member")]
    [InlineData("member failed")]
    public async Task A_worker_that_fails_as_a_generation_begins_ends_the_run(string events)
    {
        var options = LocalCluster.Options("workers=1", "stop.epochs=0", "stop.steps=1000000", "failureDetection=200s");
        await using var coordinator = await LocalCoordinator.StartAsync(_folder.At("run"), options);
        using var log = new FailingLog(events.Split(' '));
        var worker = coordinator.StartWorker(coordinator.Worker(0) with { Log = log });
        var outcome = await coordinator.Outcome.WaitAsync(Soon, TestContext.Current.CancellationToken);
        Assert.False(outcome.Success);
        Assert.Matches("^Worker 0 cannot go on: .*No space left for the log", outcome.Sentence);
        Assert.Contains("No space left for the log", (await worker.WaitAsync(Soon, TestContext.Current.CancellationToken)).Sentence);
    }

    /// <summary>A log that cannot be written at some events.</summary>
    private sealed class FailingLog(string[] events) : ILoggerProvider, ILogger
    {
        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            if (events.Contains(eventId.Name))
            {
                throw new IOException("No space left for the log.");
            }
        }

        public void Dispose()
        {
        }
    }
}
