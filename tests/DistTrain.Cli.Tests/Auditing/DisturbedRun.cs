using System.Text.Json.Nodes;
using DistTrain.Cli.Tests.Runs;

namespace DistTrain.Cli.Tests.Auditing;

/// <summary>
/// The folder of a real run that was disturbed: of three workers one is killed while it computes, then both others are, and a fourth goes on from the newest checkpoint.
/// </summary>
public sealed class DisturbedRun : IAsyncLifetime
{
    private readonly TempFolder _folder = new();

    /// <summary>The run's folder.</summary>
    public string Folder => _folder["run"];

    public async ValueTask InitializeAsync()
    {
        var file = _folder.File("mine.yaml", """
            task: pattern
            model: { name: pattern, hidden: 16 }
            data: { name: pattern, samples: 90 }
            batch: { global: 40, micro: 3 }
            schedule: { name: cosine, warmupSteps: 3 }
            stop: { epochs: 9 }
            evaluate: { everyEpochs: 2 }
            checkpoint: { everySteps: 4 }
            failureDetection: 5s
            debug: { delayPerMicroBatch: { 0: 10ms, 1: 10ms, 2: 10ms, 3: 1ms } }
            """);
        using var coordinator = Command.StartOwn("coordinator", file, "--workers", "3", "--listen", "127.0.0.1:0", "--out", Folder, "--json");
        var address = (string)JsonNode.Parse(await coordinator.LineAsync("\"listening\""))!["listening"]!;
        using var first = Worker(0);
        using var second = Worker(1);
        using var third = Worker(2);
        await coordinator.LineAsync("\"step\":3,");
        third.Signal("KILL");
        await coordinator.LineAsync("\"step\":10,");
        first.Signal("KILL");
        second.Signal("KILL");
        await coordinator.LineAsync("\"waiting\"");
        using var fourth = Worker(3);
        var ended = await coordinator.EndAsync();
        Assert.Equal((0, ""), (ended.Code, ended.Error));
        Assert.Equal(0, (await fourth.EndAsync()).Code);

        // What the tests tamper with is there.
        Assert.NotEmpty(File.ReadLines(Path.Combine(Folder, "reissues.jsonl")));
        Assert.Contains(File.ReadLines(Path.Combine(Folder, "events.jsonl")), l => l.Contains("\"event\":\"rollback\"", StringComparison.Ordinal));
        Assert.True(File.ReadLines(Path.Combine(Folder, "workers.jsonl")).Count(l => l.Contains("\"kind\":\"train\"", StringComparison.Ordinal) && l.Contains("\"rank\":0,", StringComparison.Ordinal)) > 27);

        Command Worker(int number) => Command.StartOwn("worker", "--coordinator", address, "--number", $"{number}");
    }

    public ValueTask DisposeAsync()
    {
        _folder.Dispose();
        return ValueTask.CompletedTask;
    }
}
