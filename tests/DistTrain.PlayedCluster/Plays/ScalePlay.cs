using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>
/// A run from the first object to the last pod: scaled 1, 4, 2, 5, all workers killed, the coordinator killed and evicted, its node drained, all workers evicted at once. It has to have the
/// bits of one undisturbed worker on this machine.
/// </summary>
internal sealed class ScalePlay(Stage stage)
{
    private const int Pause = 150;
    private static readonly TimeSpan Soon = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan Gone = TimeSpan.FromSeconds(70);
    private static readonly TimeSpan Finish = TimeSpan.FromMinutes(4);

    private readonly HashSet<string> _killed = [];

    private Tally Tally => stage.Tally;

    /// <summary>Plays it.</summary>
    public async Task RunAsync()
    {
        var folder = stage.FolderOf("scale");
        var undisturbed = Path.Combine(folder, "undisturbed");
        var file = Path.Combine(folder, "run.yaml");
        await File.WriteAllTextAsync(file, RunFile.Text(0));
        var alone = stage.RunAsync(Finish, "train", file, "--workers", "1", "--out", undisturbed);
        await using var scene = new Scene(stage, await stage.StartAsync("scale"));
        await BeginAsync(scene);
        await ScaleAsync(scene);
        await DisturbAsync(scene);
        await EndAsync(scene);
        var (code, words) = await alone;
        Tally.Check("a run of one worker on this machine", code == 0, words);
        (code, words) = await stage.RunAsync(Finish, "verify", undisturbed, scene.Run);
        Tally.Check("every step has the hash of the undisturbed run", code == 0, words);
        (code, words) = await stage.RunAsync(Finish, "audit", scene.Run);
        Tally.Check("the run's folder passes the audit", code == 0, words);
    }

    /// <summary>Workers first, then what they need: they wait.</summary>
    private async Task BeginAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        var objects = RunFile.In(stage.Objects(), RunFile.Text(Pause), replicas: 1);
        cluster.Apply(objects.Where(o => o is V1ServiceAccount or V1Role or V1RoleBinding or V1NetworkPolicy or V1Deployment or V1PodDisruptionBudget));
        await scene.WaitAsync(
            "the container of a worker runs", Soon, () => cluster.Pods(Scene.Worker) is [{ Status.ContainerStatuses: [{ State.Running: not null }] }]);
        var service = objects.OfType<V1Service>().Single().Metadata.Name;
        Tally.Check("a name does not resolve before its Service exists", cluster.LookUp($"{service}.{Cluster.Space}.svc.cluster.local") is null);
        await scene.WaitAsync("the worker has started", Start, () => cluster.Pods(Scene.Worker) is [{ Status.ContainerStatuses: [{ Started: true }] }]);
        cluster.Apply(objects.Where(o => o is V1Service or V1ConfigMap));
        await scene.WaitAsync("it resolves after that", Soon, () => cluster.LookUp($"{service}.{Cluster.Space}.svc.cluster.local") is [_]);
        Tally.Check("a Service without a ready pod refuses connections", !await ReachesAsync(scene, cluster.Pods(Scene.Worker)[0], service, 5400, refused: true));
        cluster.Apply(objects.Where(o => o is V1Job or V1PersistentVolumeClaim));
        await scene.WaitAsync("the coordinator is ready", Start, () => cluster.Pods(Scene.Coordinator) is [var pod] && pod.IsReady());
        await scene.ReadyAsync(1, Start);
        await scene.StepAsync(2, Start);
        Tally.Check("the worker that was there first was never started again", cluster.Pods(Scene.Worker)[0].Restarts() == 0);
        await LookAroundAsync(scene, service);
    }

    /// <summary>What a pod may and may not.</summary>
    private async Task LookAroundAsync(Scene scene, string service)
    {
        var (coordinator, worker) = (scene.Cluster.Pods(Scene.Coordinator)[0], scene.Cluster.Pods(Scene.Worker)[0]);
        foreach (var pod in new[] { coordinator, worker })
        {
            var (_, status, _) = await scene.Cluster.ExecuteAsync(pod, Soon, "cat", "/proc/1/status");
            string Value(string key) => status.Split('\n').FirstOrDefault(l => l.StartsWith(key + ":", StringComparison.Ordinal))?[(key.Length + 1)..].Trim() ?? "";
            Tally.Check(
                $"{pod.Metadata.Name}: user and group 65532, no capability, no new privileges",
                Value("Uid").Split('\t').All(id => id == "65532") && Value("Gid").Split('\t').All(id => id == "65532")
                    && Value("CapPrm").Trim('0').Length == 0 && Value("CapBnd").Trim('0').Length == 0 && Value("NoNewPrivs") == "1", status);
            var (wrote, _, why) = await scene.Cluster.ExecuteAsync(pod, Soon, "touch", "/x", "/usr/x", "/opt/disttrain/x", "/etc/x", "/dev/x");
            var refused = why.Split('\n').Count(line => line.Contains("Read-only", StringComparison.Ordinal));
            Tally.Check($"{pod.Metadata.Name}: its root is read-only", wrote != 0 && refused == 5, why);
        }

        var (seen, files, _) = await scene.Cluster.ExecuteAsync(worker, Soon, "ls", "/var/lib/disttrain");
        Tally.Check("a worker does not see the coordinator's volume", seen != 0, files);
        Tally.Check("a worker reaches the coordinator by the Service's name", await ReachesAsync(scene, worker, service, 5400));
        Tally.Check("the coordinator does not reach a worker's port for peers, by policy", !await ReachesAsync(scene, coordinator, worker.Status.PodIP, 5401));
        Tally.Check("it does reach its health", await ReachesAsync(scene, coordinator, worker.Status.PodIP, 8080));
    }

    private static async Task<bool> ReachesAsync(Scene scene, V1Pod from, string host, int port, bool refused = false)
    {
        var (code, _, error) = await scene.Cluster.ExecuteAsync(from, TimeSpan.FromSeconds(3), "bash", "-c", $"exec 3<>/dev/tcp/{host}/{port}");
        return code == 0 || (refused && !error.Contains("refused", StringComparison.OrdinalIgnoreCase));
    }

    private async Task ScaleAsync(Scene scene)
    {
        foreach (var replicas in new[] { 4, 2, 5 })
        {
            var before = scene.Cluster.Pods(Scene.Worker).Select(p => p.Metadata.Name).ToHashSet();
            await scene.ScaleAsync(replicas);
            await scene.ReadyAsync(replicas, Start);
            await scene.StepAsync(3, Start);
            var after = scene.Cluster.Pods(Scene.Worker);
            var kept = after.Count(p => before.Contains(p.Metadata.Name));
            Tally.Check(
                $"scaled from {before.Count} to {replicas}: {kept} pods are the same, none was started again",
                kept == Math.Min(before.Count, replicas) && after.All(p => p.Restarts() == 0));
        }
    }

    private async Task DisturbAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        Tally.Say($"SIGKILL to all workers at once (at step {scene.Steps})");
        foreach (var pod in cluster.Pods(Scene.Worker))
        {
            _killed.Add(pod.Metadata.Name);
            cluster.Signal(pod, Shell.Kill);
        }

        await scene.WaitAsync("all of them are started again", Start, () => cluster.Pods(Scene.Worker).All(p => p.Restarts() == 1));
        await scene.ReadyAsync(5, Start);
        await scene.StepAsync(3, Start);

        var first = cluster.Pods(Scene.Coordinator)[0].Metadata.Name;
        Tally.Say($"SIGKILL to the coordinator (at step {scene.Steps})");
        cluster.Signal(cluster.Pods(Scene.Coordinator)[0], Shell.Kill);
        await NextCoordinatorAsync(scene, first);
        Tally.Check("a killed coordinator counts as one failure of the Job", scene.Job.Status.Failed == 1, $"{scene.Job.Status.Failed}");

        Tally.Check("its exit code is 137", ExitCodeOf(scene, first) == 137, $"{ExitCodeOf(scene, first)}");
        if (!stage.IsShort)
        {
            await EvictCoordinatorAsync(scene);
        }

        Tally.Say("the configuration is changed: no pause any more; it counts for pods that come from now on");
        cluster.State.Change<V1ConfigMap>(stage.Objects().OfType<V1ConfigMap>().Single().Metadata.Name, m => m.Data[m.Data.Keys.Single()] = RunFile.Text(0));
        await DrainAsync(scene);

        Tally.Say($"all workers are evicted at once (at step {scene.Steps})");
        foreach (var pod in cluster.Pods(Scene.Worker))
        {
            cluster.Evict(pod, "DeletionByTaintManager");
        }
    }

    private async Task EvictCoordinatorAsync(Scene scene)
    {
        var pod = scene.Cluster.Pods(Scene.Coordinator)[0];
        Tally.Say($"the coordinator is evicted (at step {scene.Steps})");
        scene.Cluster.Evict(pod, "TerminationByKubelet");
        await AfterEvictionAsync(scene, pod);
    }

    /// <summary>An evicted coordinator has written its state, and another one goes on from it.</summary>
    private async Task AfterEvictionAsync(Scene scene, V1Pod evicted)
    {
        await scene.WaitAsync("it is gone", Gone, () => scene.Cluster.State.Find<V1Pod>(evicted.Metadata.Name) is null);
        Tally.Check("its exit code is 143", ExitCodeOf(scene, evicted.Metadata.Name) == 143, $"{ExitCodeOf(scene, evicted.Metadata.Name)}");
        var steps = scene.Steps;
        Tally.Check("it has written a checkpoint of the last step", Directory.Exists(scene.CheckpointOf(steps)), $"step {steps}");
        await NextCoordinatorAsync(scene, evicted.Metadata.Name);
        Tally.Check(
            "an evicted coordinator does not count as a failure of the Job",
            scene.Job.Status.Failed == 1 && !scene.JobIs("Complete"), $"{scene.Job.Status.Failed}");
    }

    /// <summary>How a pod's container ended, which may be gone.</summary>
    private static int? ExitCodeOf(Scene scene, string pod) =>
        scene.Cluster.Events.Where(e => e.Pod == pod && e.ExitCode is not null).Select(e => e.ExitCode).LastOrDefault();

    private async Task NextCoordinatorAsync(Scene scene, string former)
    {
        await scene.WaitAsync(
            "the next coordinator is ready", Start, () => scene.Cluster.Pods(Scene.Coordinator) is [var pod] && pod.Metadata.Name != former && pod.IsReady());
        await scene.ReadyAsync(5, Start);
        await scene.StepAsync(3, Start);
        var workers = scene.Cluster.Pods(Scene.Worker);
        Tally.Check("the workers outlived their coordinator", workers.All(p => p.Restarts() == (_killed.Contains(p.Metadata.Name) ? 1 : 0)));
    }

    /// <summary>The coordinator's node is emptied.</summary>
    private async Task DrainAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        var coordinator = cluster.Pods(Scene.Coordinator)[0];
        var node = coordinator.Spec.NodeName;
        cluster.Cordon(node, true);
        var pods = cluster.State.All<V1Pod>().Where(p => p.Spec.NodeName == node && !p.IsFinished()).ToList();
        Tally.Say($"kubectl drain {node}: {pods.Count} pods, one of them the coordinator's (at step {scene.Steps})");
        var forbidden = pods.Select(cluster.TryEvict).OfType<string>().ToList();
        Tally.Check("no disruption budget holds up the drain", forbidden.Count == 0, string.Join(", ", forbidden));
        await scene.WaitAsync("the node is empty", Gone, () => pods.All(p => cluster.State.Find<V1Pod>(p.Metadata.Name) is null));
        await AfterEvictionAsync(scene, coordinator);
        Tally.Check("no pod came to the drained node", cluster.State.All<V1Pod>().All(p => p.Spec.NodeName != node || p.IsFinished()));
        cluster.Cordon(node, false);
    }

    private async Task EndAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        await scene.WaitAsync("the Job is complete", Finish, () => scene.JobIs("Complete"));
        await scene.WaitAsync("no worker is wanted", Soon, () => scene.Workers.Spec.Replicas == 0);
        await scene.WaitAsync("no pod of a worker is left", Gone, () => cluster.Pods(Scene.Worker).Count == 0 && !cluster.IsAnythingLeft);
        var account = scene.Job.Spec.Template.Spec.ServiceAccountName;
        Tally.Check("the coordinator has set the workers to 0 itself", cluster.Access.HasScaled(account));
        Tally.Check("the API server has refused nobody", cluster.Access.Refused.Length == 0, cluster.Access.Refused);
        var kills = cluster.Events.Where(e => e.Reason == "Killing" && e.Message.Contains("probe", StringComparison.Ordinal)).ToList();
        Tally.Check("no probe has killed anything", kills.Count == 0, string.Join(", ", kills));
        var again = cluster.Events.Where(e => e.Reason == "Started").GroupBy(e => e.Pod)
            .Where(starts => starts.Count() > (_killed.Contains(starts.Key) ? 2 : 1)).Select(starts => starts.Key).ToList();
        Tally.Check("nothing was started again but what was killed", again.Count == 0, string.Join(", ", again));
        Tally.Check(
            "checkpoints and journal are on the volume",
            Directory.Exists(scene.CheckpointOf(RunFile.Steps)) && Directory.EnumerateFiles(Path.Combine(scene.Run, "journal")).Any());
        Tally.Check("all steps are there", scene.Steps >= RunFile.Steps, $"{scene.Steps}");
    }
}
