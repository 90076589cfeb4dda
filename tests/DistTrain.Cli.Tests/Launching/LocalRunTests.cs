using System.Diagnostics;
using System.Text.Json.Nodes;
using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>A local run with real processes, which train nothing: how it ends, whatever ends first.</summary>
public sealed class LocalRunTests : IDisposable
{
    private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(30);
    private readonly TempFolder _folder = new();

    private string Out => _folder["run"];

    public void Dispose() => _folder.Dispose();

    [Fact]
    public async Task A_run_ends_with_a_table_and_leaves_its_folder()
    {
        var (code, text, error) = await TrainAsync(Scenario.Good);
        Assert.Equal((0, ""), (code, error));
        Assert.All(
            ["toy: 123 parameters", "step 4/4 (100 %)", "accuracy 0.875", "status", "final loss", "abc123", "2.5 s", Out],
            part => Assert.Contains(part, text, StringComparison.Ordinal));
        Assert.Contains("name: toy", await File.ReadAllTextAsync(Path.Combine(Out, "config.yaml"), Token), StringComparison.Ordinal);
        Assert.Equal(["coordinator.log", "worker-0.log", "worker-1.log"], Directory.GetFiles(Path.Combine(Out, "logs")).Select(Path.GetFileName).Order());
        Assert.Contains("threads 1, passive", await LogAsync("worker-1.log"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_program_reads_one_object_per_event_and_the_summary_last()
    {
        var (code, text, _) = await TrainAsync(Scenario.Good, "--json");
        var lines = text.Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!).ToList();
        Assert.Equal(["happening", "started", "step", "step", "step", "step", "evaluation", "summary"], lines.Select(l => (string)l["event"]!));
        Assert.Equal((0, "finished", "abc123", Out), (code, (string)lines[^1]["status"]!, (string)lines[^1]["weightsSha256"]!, (string)lines[^1]["folder"]!));
    }

    [Fact]
    public async Task What_the_user_has_set_of_the_threads_is_left_alone_and_keys_are_not_read_twice()
    {
        var environment = new Dictionary<string, string> { ["OMP_WAIT_POLICY"] = "active", ["DISTTRAIN__THREADS"] = "3" };
        Assert.Equal(0, (await Cli.RunAsync(Scenario.Good, ["train", "--out", Out], environment)).Code);
        Assert.Contains("threads 3, active", await LogAsync("worker-0.log"), StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_folder_that_is_not_empty_is_refused_and_left_as_it_was()
    {
        _folder.File("run/precious.txt", "mine");
        var (code, text, error) = await TrainAsync(Scenario.Good);
        Assert.Equal((2, "", $"error: --out '{Out}' exists and is not empty: name a new folder, or leave --out away for runs/toy.\n"), (code, text, error));
        Assert.Equal(["precious.txt"], Directory.GetFileSystemEntries(Out).Select(Path.GetFileName));
    }

    [Fact]
    public async Task An_empty_name_is_no_folder() =>
        Assert.Equal((2, "", "error: --out is empty: name a folder, or leave --out away for runs/toy.\n"), await Cli.RunAsync("train", "--out", ""));

    [Fact]
    public async Task A_configuration_that_is_wrong_makes_no_folder()
    {
        Assert.Equal(2, (await TrainAsync(Scenario.Good, "--set", "batch.global=0")).Code);
        Assert.False(Path.Exists(Out));
    }

    [Theory]
    [InlineData(Scenario.CoordinatorSilent, "Coordinator ended before it listened; its log LOG ends:\n  the port is taken")]
    [InlineData(Scenario.CoordinatorGarbled, "Coordinator did not say where it listens; its log LOG ends:\n  hello")]
    [InlineData(Scenario.CoordinatorDies, "Coordinator ended with exit code 7 before the run was finished; its log LOG ends:\n")]
    public async Task A_coordinator_that_dies_ends_the_run_with_its_last_words(Scenario scenario, string sentence)
    {
        var (code, text, error) = await TrainAsync(scenario);
        Assert.Equal(1, code);
        Assert.Contains(sentence.Replace("LOG", Path.Combine(Out, "logs", "coordinator.log"), StringComparison.Ordinal), error, StringComparison.Ordinal);
        Assert.Contains("failed", text, StringComparison.Ordinal);
        if (scenario == Scenario.CoordinatorDies)
        {
            Assert.Contains("  out of memory", error, StringComparison.Ordinal);
            Assert.Contains("stopped in order", await LogAsync("worker-0.log"), StringComparison.Ordinal);
        }
    }

    [Fact]
    public async Task A_run_that_fails_gives_the_coordinators_reason()
    {
        var (code, _, error) = await TrainAsync(Scenario.RunFails);
        Assert.Equal(1, code);
        Assert.StartsWith("error: Worker 1 was lost at step 3.\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_that_dies_before_the_run_begins_ends_it_though_the_coordinator_waits()
    {
        var result = await RunAsync(Scenario.WorkerDies, new LocalRunSettings { Options = null!, Folder = "", Program = null!, Environment = null!, VerdictDeadline = TimeSpan.FromMilliseconds(100) });
        Assert.False(result.Success);
        Assert.StartsWith("Worker 1 ended with exit code 9 before the run began; its log ", result.Sentence, StringComparison.Ordinal);
        Assert.Contains("no such data", result.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_that_is_killed_for_memory_before_the_run_begins_ends_it_with_the_keys_that_help()
    {
        var kills = 0L;
        var settings = new LocalRunSettings { Options = null!, Folder = "", Program = null!, Environment = null!, VerdictDeadline = TimeSpan.FromMilliseconds(100), MaxRestarts = 0 };
        var result = await RunAsync(Scenario.WorkerKilled, settings with { MemoryKills = () => Interlocked.Increment(ref kills) });
        Assert.False(result.Success);
        Assert.StartsWith("Worker 1 was ended by signal 9 before the run began; its log ", result.Sentence, StringComparison.Ordinal);
        Assert.EndsWith(
            "worker-1.log. The system seems to have killed it for want of memory: make batch.micro smaller or auto, or give the machine or its control group more memory.",
            result.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_worker_that_somebody_kills_before_the_run_begins_is_not_said_to_lack_memory()
    {
        var settings = new LocalRunSettings { Options = null!, Folder = "", Program = null!, Environment = null!, VerdictDeadline = TimeSpan.FromMilliseconds(100), MaxRestarts = 0 };
        var result = await RunAsync(Scenario.WorkerKilled, settings with { MemoryKills = () => 3 });
        Assert.EndsWith("worker-1.log.", result.Sentence, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Processes_that_do_not_listen_are_killed()
    {
        var started = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);
        var viewer = new Recorder(started);
        var running = RunAsync(Scenario.Stubborn, new LocalRunSettings { Options = null!, Folder = "", Program = null!, Environment = null!, EndDeadline = TimeSpan.FromMilliseconds(200) }, viewer, stop.Token);
        await started.Task.WaitAsync(Deadline, Token);
        await stop.CancelAsync();
        var result = await running.WaitAsync(Deadline, Token);
        Assert.Equal((false, "The run was stopped before it was finished."), (result.Success, result.Sentence));
        Assert.Throws<ArgumentException>(() => Process.GetProcessById(viewer.Coordinator));
    }

    [Fact]
    public async Task A_run_that_is_stopped_before_its_coordinator_listens_ends_in_order_and_leaves_nothing()
    {
        var (output, error) = (new StringWriter(), new StringWriter());
        var app = Cli.AppOf(Scenario.Endless, output, error, ["train", "--out", Out]);
        using var stop = new CancellationTokenSource();
        var running = app.RunAsync(stop.Token);
        await stop.CancelAsync();
        Assert.Equal(0, await running.WaitAsync(Deadline, Token));
        Assert.Equal(("status  stopped\n", StopNotice.OfRun + "\n"), (output.ToString(), error.ToString()));
        Assert.False(Path.Exists(Out));
    }

    [Fact]
    public async Task Workers_that_have_not_joined_are_asked_to_end_when_the_run_is_stopped()
    {
        var happened = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(Token);

        // Longer than the test waits: no worker may be left to its own end.
        var settings = new LocalRunSettings { Options = null!, Folder = "", Program = null!, Environment = null!, EndDeadline = 2 * Deadline };
        var running = RunAsync(Scenario.NobodyJoins, settings, new Recorder(new TaskCompletionSource()) { Happened = happened }, stop.Token);
        await happened.Task.WaitAsync(Deadline, Token);
        await stop.CancelAsync();
        Assert.Equal((true, "stopped"), await running is var result ? (result.Success, result.Sentence) : default);
        Assert.Contains("stopped in order", await LogAsync("worker-1.log"), StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("TERM")]
    [InlineData("INT")]
    [InlineData("KILL")]
    public async Task No_process_outlives_the_launcher(string signal)
    {
        var program = ChildCommand.OfThisProcess();
        var start = new ProcessStartInfo(program.FileName, [.. program.Prefix, "stand-in", $"{Scenario.Endless}", "train", "--out", Out, "--json"])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        using var launcher = Process.Start(start)!;
        try
        {
            // The evaluation is the last event of the script: everybody is there.
            string? line;
            do
            {
                line = await launcher.StandardOutput.ReadLineAsync(Token).AsTask().WaitAsync(Deadline, Token);
            }
            while (line is not null && !line.Contains("\"evaluation\"", StringComparison.Ordinal));

            var children = (await File.ReadAllTextAsync($"/proc/{launcher.Id}/task/{launcher.Id}/children", Token))
                .Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse).ToList();
            children = children.Count == 3 ? children : [.. ChildrenOf(launcher.Id)];
            Assert.Equal(3, children.Count);
            var processes = children.Select(Process.GetProcessById).ToList();

            using var kill = Process.Start("kill", [$"-{signal}", $"{launcher.Id}"]);
            await launcher.WaitForExitAsync(Token).WaitAsync(Deadline, Token);
            foreach (var process in processes)
            {
                await process.WaitForExitAsync(Token).WaitAsync(Deadline, Token);
                process.Dispose();
            }

            Assert.Equal(signal == "KILL" ? 137 : 1, launcher.ExitCode);
            if (signal != "KILL")
            {
                Assert.Equal($"{StopNotice.OfRun}\nerror: The run was stopped before it was finished.\n", await launcher.StandardError.ReadToEndAsync(Token));
                Assert.Contains("stopped in order", await LogAsync("coordinator.log"), StringComparison.Ordinal);
            }
        }
        finally
        {
            launcher.Kill(entireProcessTree: true);
        }
    }

    private static CancellationToken Token => TestContext.Current.CancellationToken;

    private static IEnumerable<int> ChildrenOf(int parent) =>
        Directory.GetDirectories($"/proc/{parent}/task")
            .SelectMany(task => File.ReadAllText($"{task}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries))
            .Select(int.Parse);

    private Task<(int Code, string Out, string Error)> TrainAsync(Scenario scenario, params string[] more) =>
        Cli.RunAsync(scenario, ["train", "--out", Out, .. more]);

    private Task<string> LogAsync(string name) => File.ReadAllTextAsync(Path.Combine(Out, "logs", name), Token);

    private async Task<LocalRunResult> RunAsync(Scenario scenario, LocalRunSettings settings, Recorder? viewer = null, CancellationToken? stop = null)
    {
        var program = ChildCommand.OfThisProcess();
        Directory.CreateDirectory(Out);
        settings = settings with
        {
            Options = new DistTrain.Core.Options.RunOptions { Workers = StandIn.Workers },
            Folder = Out,
            Program = program with { Prefix = [.. program.Prefix, "stand-in", $"{scenario}"] },
            Environment = new Dictionary<string, string>(),
        };
        return await new LocalRun(settings, viewer ?? new Recorder(new TaskCompletionSource()), TimeProvider.System).RunAsync(stop ?? Token).WaitAsync(Deadline, Token);
    }

    private sealed class Recorder(TaskCompletionSource everybody) : DistTrain.Views.IRunViewer
    {
        public int Coordinator { get; private set; }

        public TaskCompletionSource? Happened { get; init; }

        public void Show(DistTrain.Protocol.V1.RunEvent happened)
        {
            if (happened.Happening is not null)
            {
                Happened?.TrySetResult();
            }

            if (happened.Happening?.Sentence.Split(' ') is ["coordinator", var id])
            {
                Coordinator = int.Parse(id);
            }

            if (happened.Evaluation is not null)
            {
                everybody.TrySetResult();
            }
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
