using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>The life of one container of a pod: started, probed, killed where a probe says so, started again where the pod's policy says so.</summary>
internal sealed class ContainerRunner(Node node, V1Pod pod, V1Container container, string folder, Task<TimeSpan> ending)
{
    private const int MessageCharacters = 4096;

    private readonly string _terminationLog = Path.Combine(folder, $"{container.Name}.termination");
    private ContainerProcess? _process;

    /// <summary>Whether a pod is ready, where its containers are.</summary>
    public static void SetReady(V1Pod pod, bool isReady)
    {
        pod.Status.Conditions ??= [];
        var condition = pod.Status.Conditions.FirstOrDefault(c => c.Type == "Ready");
        if (condition is null)
        {
            pod.Status.Conditions.Add(condition = new V1PodCondition { Type = "Ready", Status = "False" });
        }

        var status = isReady ? "True" : "False";
        if (condition.Status != status)
        {
            (condition.Status, condition.LastTransitionTime) = (status, DateTime.UtcNow);
        }
    }

    /// <summary>Sends a signal to its first process.</summary>
    public void Signal(int signal) => _process?.Signal(signal);

    /// <summary>Runs a command in it.</summary>
    public Task<(int Code, string Output, string Error)> ExecuteAsync(IReadOnlyList<string> command, TimeSpan patience) => _process is { } process
        ? Execution.RunAsync(container, pod, process, command, patience, CancellationToken.None)
        : Task.FromResult((-1, "", $"the container {container.Name} does not run"));

    /// <summary>Runs it until it is not started again.</summary>
    public async Task RunAsync(string network, string address, PodVolumes volumes)
    {
        Change(s => s.State = Waiting("ContainerCreating"));
        if (node.Images.FirstOrDefault(i => i.Name == container.Image) is not { } image)
        {
            node.Tell(pod, "Warning", "Failed", $"Failed to pull image \"{container.Image}\": not found");
            Change(s => s.State = Waiting("ImagePullBackOff"));
            await ending;
            Change(s => s.State = new V1ContainerState { Terminated = new V1ContainerStateTerminated { ExitCode = 137, Reason = "ContainerStatusUnknown" } });
            return;
        }

        for (var restarts = 0; ; restarts++)
        {
            var code = ending.IsCompleted ? 137 : await LiveAsync(network, address, volumes, image, restarts);
            if (ending.IsCompleted || pod.Spec.RestartPolicy == "Never" || (pod.Spec.RestartPolicy == "OnFailure" && code == 0))
            {
                return;
            }

            var pause = BackOff.OfContainer(restarts) / node.Hurry;
            if (pause > TimeSpan.Zero)
            {
                var real = BackOff.OfContainer(restarts).TotalSeconds;
                node.Tell(pod, "Warning", "BackOff", $"Back-off {real:0}s (here {pause.TotalSeconds:0.#}s) restarting failed container {container.Name}");
                Change(s => s.State = Waiting("CrashLoopBackOff"));
                await Task.WhenAny(ending, Task.Delay(pause));
            }
        }
    }

    /// <summary>One life of it.</summary>
    private async Task<int> LiveAsync(string network, string address, PodVolumes volumes, Image image, int restarts)
    {
        var group = $"{pod.Metadata.Name}-{container.Name}";
        var groups = node.Groups.Make(group, container.Resources?.Limits);
        await File.WriteAllTextAsync(_terminationLog, "");
        await Shell.RunAsync("chmod", ["666", _terminationLog]);
        var spec = Spec(network, volumes, image, groups, restarts);
        var log = node.Logs.Begin(pod, container);
        using var process = await ContainerProcess.StartAsync(spec, log);
        _process = process;
        var began = DateTime.UtcNow;
        Change(s =>
        {
            s.State = new V1ContainerState { Running = new V1ContainerStateRunning { StartedAt = began } };
            s.RestartCount = restarts;
        });
        node.Tell(pod, "Normal", "Started", $"Started container {container.Name}");
        using var probing = new CancellationTokenSource();
        var prober = new Prober(container, pod, address, process, SetHealth, why => node.Tell(pod, "Warning", "Unhealthy", why));
        var verdict = prober.RunAsync(probing.Token);
        var first = await Task.WhenAny(process.Exit, verdict, ending);
        if (first == verdict)
        {
            var (reason, grace) = await verdict;
            node.Tell(pod, "Normal", "Killing", $"{reason}, will be restarted");
            await process.EndAsync(TimeSpan.FromSeconds(grace ?? pod.Spec.TerminationGracePeriodSeconds ?? 30));
        }
        else if (first == ending)
        {
            node.Tell(pod, "Normal", "Killing", $"Stopping container {container.Name}");
            await EndAsync(process, await ending);
        }

        await probing.CancelAsync();
        var code = await process.Exit;
        _process = null;
        var isOutOfMemory = node.Groups.IsOutOfMemory(group);
        node.Groups.RemoveOf(group);
        End(code, isOutOfMemory ? "OOMKilled" : code == 0 ? "Completed" : "Error", log.Tail, began);
        return code;
    }

    private async Task EndAsync(ContainerProcess process, TimeSpan grace)
    {
        var deadline = DateTime.UtcNow + grace;
        if (container.Lifecycle?.PreStop is { } hook && grace > TimeSpan.Zero)
        {
            var command = hook switch
            {
                { Exec: { } exec } => exec.Command,
                { Sleep: { } sleep } => ["sleep", $"{sleep.Seconds}"],
                _ => throw new NotPlayedException("a preStop hook that is neither exec nor sleep"),
            };
            await Execution.RunAsync(container, pod, process, command, grace, CancellationToken.None);
        }

        var left = deadline - DateTime.UtcNow;
        await process.EndAsync(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    private static V1ContainerState Waiting(string reason) => new() { Waiting = new V1ContainerStateWaiting { Reason = reason } };

    private void SetHealth(bool hasStarted, bool isReady) => Change(s => (s.Started, s.Ready) = (hasStarted, isReady));

    private void End(int code, string reason, string tail, DateTime began)
    {
        var message = File.ReadAllText(_terminationLog);
        if (message.Length == 0 && code != 0 && container.TerminationMessagePolicy == "FallbackToLogsOnError")
        {
            message = tail;
        }

        var last = code == 0 || message.Length == 0 ? "" : $": {message.Split('\n')[^1]}";
        node.Note(pod, code, $"container {container.Name} ended with exit code {code} ({reason}){last}");
        Change(s =>
        {
            var end = new V1ContainerStateTerminated
            {
                ExitCode = code,
                Reason = reason,
                Message = message.Length > MessageCharacters ? message[..MessageCharacters] : message,
                StartedAt = began,
                FinishedAt = DateTime.UtcNow,
            };
            s.State = new V1ContainerState { Terminated = end };
            s.LastState = new V1ContainerState { Terminated = end };
            s.Ready = false;
        });
    }

    private ContainerSpec Spec(string network, PodVolumes volumes, Image image, IReadOnlyList<string> groups, int restarts)
    {
        var own = ContainerEnvironment.Of(container, node.State.Find<V1Pod>(pod.Metadata.Name) ?? pod, name => node.State.Find<V1ConfigMap>(name)?.Data);
        var environment = new Dictionary<string, string>(image.Environment) { ["HOSTNAME"] = pod.Metadata.Name };
        foreach (var (name, value) in node.ClusterEnvironment.Concat(own))
        {
            environment[name] = value;
        }

        IEnumerable<string> words = [.. container.Command is { Count: > 0 } command ? command : image.Entrypoint, .. container.Args ?? []];
        return new ContainerSpec
        {
            Name = container.Name,
            HostName = pod.Metadata.Name,
            Network = network,
            Image = image,
            Command = [.. words.Select(word => ContainerEnvironment.Expand(word, own))],
            Environment = environment,
            Identity = Identity.Of(container, pod.Spec),
            Mounts = volumes.Of(container),
            EtcFolder = Path.Combine(folder, "etc"),
            TerminationLog = _terminationLog,
            TerminationPath = container.TerminationMessagePath ?? "/dev/termination-log",
            WorkingFolder = container.WorkingDir,
            ControlGroups = groups,
            Root = Path.Combine(folder, $"{container.Name}-{restarts}"),
        };
    }

    private void Change(Action<V1ContainerStatus> change) => node.State.Change<V1Pod>(pod.Metadata.Name, p =>
    {
        p.Status.ContainerStatuses ??= [];
        var status = p.Status.ContainerStatuses.FirstOrDefault(s => s.Name == container.Name);
        if (status is null)
        {
            p.Status.ContainerStatuses.Add(status = new V1ContainerStatus { Name = container.Name, Image = container.Image });
        }

        change(status);
        SetReady(p, p.Spec.Containers.All(c => p.Status.ContainerStatuses.Any(s => s.Name == c.Name && s.Ready)));
    });
}
