using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using DistTrain.Core.Faults;
using DistTrain.Launching;
using DistTrain.Views;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>A local run whose processes, which train nothing, do to themselves what a plan of faults says.</summary>
public sealed class RestartTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(60);
    private readonly TempFolder _folder = new();
    private readonly Recorder _viewer = new();
    private readonly ConcurrentQueue<int> _faults = [];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_worker_that_is_killed_is_started_again_and_told_only_the_faults_that_are_left()
    {
        var result = await RunAsync(Scenario.OneMore, new Fault { Kind = FaultKind.Kill, Worker = 1, Step = 2 });
        Assert.Equal((true, "finished"), (result.Success, result.Sentence));
        Assert.Equal(["Worker 1 was ended by signal 9 and is started again."], _viewer.Sentences("process-restarted"));
        Assert.Equal([1], _faults);
        var line = JsonNode.Parse(Assert.Single(await File.ReadAllLinesAsync(_folder["faults.jsonl"], Token)))!;
        Assert.Equal((1, "kill", 2, 1), ((int)line["fault"]!, (string)line["kind"]!, (int)line["step"]!, (int)line["worker"]!));
        Assert.Empty(_viewer.Sentences("faults-left"));
    }

    [Fact]
    public async Task A_coordinator_that_is_killed_is_started_again_on_the_same_port_to_resume()
    {
        var result = await RunAsync(Scenario.CoordinatorReturns, new Fault { Kind = FaultKind.RestartCoordinator, Step = 3 });
        Assert.Equal((true, "finished"), (result.Success, result.Sentence));
        Assert.Equal(["Coordinator was ended by signal 9 and is started again."], _viewer.Sentences("process-restarted"));
        var listening = (await File.ReadAllLinesAsync(_folder["logs/coordinator.log"], Token)).Select(ListeningLine.Read).OfType<Uri>().ToList();
        Assert.Equal(2, listening.Count);
        Assert.Equal(listening[0], listening[1]);
        Assert.Equal([$"The coordinator listens on {listening[0].Authority} again."], _viewer.Sentences("coordinator-back"));
    }

    [Fact]
    public async Task A_run_that_is_stopped_while_its_coordinator_waits_to_be_started_again_ends_and_starts_none()
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);
        _viewer.Happened = h =>
        {
            if (h.Sentence.Contains("once more in", StringComparison.Ordinal))
            {
                _ = stop.CancelAsync();
            }
        };
        var kill = new Fault { Kind = FaultKind.RestartCoordinator, Step = 1 };
        var result = await RunAsync(Scenario.CoordinatorReturns, LocalRunSettings.StandardRestarts, [kill, kill], stop.Token);
        Assert.Equal((false, "The run was stopped before it was finished."), (result.Success, result.Sentence));
        Assert.Equal(2, (await File.ReadAllLinesAsync(_folder["logs/coordinator.log"], Token)).Select(ListeningLine.Read).OfType<Uri>().Count());
    }

    [Fact]
    public async Task Workers_that_are_killed_again_and_again_stay_away_and_the_run_ends_with_a_sentence()
    {
        // A step that the launcher sees late counts as progress once, so it takes two or three.
        var kills = Enumerable.Range(0, 3).SelectMany(_ => Enumerable.Range(0, StandIn.Workers)).Select(w => new Fault { Kind = FaultKind.Kill, Worker = w, Step = 1 });
        var result = await RunAsync(Scenario.Endless, maxRestarts: 1, [.. kills]);
        Assert.Equal((false, "Every worker process has ended before the run was finished."), (result.Success, result.Sentence));
        Assert.Equal(StandIn.Workers, _viewer.Sentences("process-ended").Count);
        Assert.All(_viewer.Sentences("process-ended"), s => Assert.Contains(
            " was ended by signal 9 after it was started again 1 time in a row without a step completed in between: it stays away; its log is ", s, StringComparison.Ordinal));
    }

    [Fact]
    public async Task A_worker_that_is_stopped_is_let_go_on()
    {
        var result = await RunAsync(Scenario.Good, new Fault { Kind = FaultKind.Pause, Worker = 0, Step = 2, For = TimeSpan.FromMilliseconds(200) });
        Assert.True(result.Success, result.Sentence);
        Assert.Equal(["Fault 1 of 1 at step 2: worker 0 is stopped for 200ms."], _viewer.Sentences("fault"));
    }

    [Fact]
    public async Task A_worker_that_is_asked_to_end_is_not_started_again_and_one_that_joins_has_a_number_of_its_own()
    {
        var result = await RunAsync(
            Scenario.OneMore, new Fault { Kind = FaultKind.Leave, Worker = 1, Step = 1 }, new Fault { Kind = FaultKind.Join, Step = 3 });
        Assert.True(result.Success, result.Sentence);
        Assert.Empty(_viewer.Sentences("process-restarted"));
        Assert.Equal(
            ["coordinator.log", "worker-0.log", "worker-1.log", "worker-2.log"],
            Directory.GetFiles(_folder["logs"]).Select(Path.GetFileName).Order());
    }

    [Fact]
    public async Task Killed_all_at_once_the_workers_are_started_again_and_a_fault_that_never_comes_is_named()
    {
        var result = await RunAsync(
            Scenario.OneMore, new Fault { Kind = FaultKind.KillAll, Step = 3 }, new Fault { Kind = FaultKind.Join, Step = 100 });
        Assert.True(result.Success, result.Sentence);
        Assert.Equal(StandIn.Workers, _viewer.Sentences("process-restarted").Count);
        Assert.Equal(["1 of the plan's 2 faults did not come to pass: join at step 100."], _viewer.Sentences("faults-left"));
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private Task<LocalRunResult> RunAsync(Scenario scenario, params Fault[] faults) => RunAsync(scenario, LocalRunSettings.StandardRestarts, faults);

    private async Task<LocalRunResult> RunAsync(Scenario scenario, int maxRestarts, Fault[] faults, CancellationToken? stop = null)
    {
        var program = ChildCommand.OfThisProcess();
        var settings = new LocalRunSettings
        {
            Options = new DistTrain.Core.Options.RunOptions { Workers = StandIn.Workers },
            Folder = _folder.Path,
            Program = program with { Prefix = [.. program.Prefix, "stand-in", $"{scenario}"] },
            Environment = new Dictionary<string, string>(),
            MaxRestarts = maxRestarts,
            Faults = new FaultPlan(1, [.. faults.Select((f, i) => f with { Id = i + 1 })]),
            OnFault = (fault, _) => _faults.Enqueue(fault.Id),
            VerdictDeadline = TimeSpan.FromMilliseconds(100),
        };
        return await new LocalRun(settings, _viewer, TimeProvider.System).RunAsync(stop ?? Token).WaitAsync(Deadline, Token);
    }

    private sealed class Recorder : IRunViewer
    {
        private readonly ConcurrentQueue<V1.Happening> _happenings = [];

        public Action<V1.Happening> Happened { get; set; } = _ => { };

        public IReadOnlyList<string> Sentences(string name) => [.. _happenings.Where(h => h.Name == name).Select(h => h.Sentence)];

        public void Show(V1.RunEvent happened)
        {
            if (happened.Happening is { } happening)
            {
                _happenings.Enqueue(happening);
                Happened(happening);
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
