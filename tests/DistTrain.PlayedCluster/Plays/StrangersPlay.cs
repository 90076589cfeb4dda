using DistTrain.PlayedCluster.Controllers;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>A worker whose processor computes other bits is refused, over and over, and says so; one that hangs is found. The run goes on.</summary>
internal sealed class StrangersPlay(Stage stage)
{
    private const string Odd = "odd";

    // Slow enough to go on for longer than a stuck worker takes to be killed.
    private const int Pause = 250;

    private static readonly TimeSpan Start = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan Long = TimeSpan.FromMinutes(3);

    /// <summary>Plays it.</summary>
    public async Task RunAsync()
    {
        await using var scene = new Scene(stage, await stage.StartAsync("strangers"));
        var cluster = scene.Cluster;
        cluster.Apply(RunFile.In(stage.Objects(), RunFile.Text(Pause), replicas: 2));
        await scene.ReadyAsync(2, Start);
        await scene.StepAsync(2, Start);
        await RefusedAsync(scene);
        if (!stage.IsShort)
        {
            await StuckAsync(scene);
        }
    }

    private async Task RefusedAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        var odd = KubernetesJson.Deserialize<V1Deployment>(KubernetesJson.Serialize(scene.Workers));
        odd.Metadata = new V1ObjectMeta { Name = Odd, Labels = odd.Metadata.Labels };
        odd.Spec.Replicas = 1;
        odd.Spec.Template.Metadata.Labels[Odd] = "true";
        odd.Spec.Template.Spec.Containers[0].Env.Add(new V1EnvVar { Name = "ATEN_CPU_CAPABILITY", Value = "default" });
        stage.Tally.Say($"a worker with ATEN_CPU_CAPABILITY=default (at step {scene.Steps})");
        cluster.Apply([odd]);
        V1Pod? Pod() => cluster.State.All<V1Pod>().FirstOrDefault(p => p.Metadata.Labels.ContainsKey(Odd));
        await scene.WaitAsync("it backs off: CrashLoopBackOff", Start, () => Pod()?.Status.ContainerStatuses is [{ State.Waiting.Reason: "CrashLoopBackOff" }]);
        var end = Pod()!.Status.ContainerStatuses[0].LastState.Terminated;
        stage.Tally.Check("its exit code is 1", end.ExitCode == 1, $"{end.ExitCode}");
        stage.Tally.Check("its termination message says why", end.Message.Contains("compute other bits", StringComparison.Ordinal), end.Message);
        var told = cluster.State.All<Corev1Event>().Where(e => e.InvolvedObject.Name == Pod()!.Metadata.Name && e.Source?.Component != "kubelet").ToList();
        stage.Tally.Check("an Event of its own says why", told.Any(e => e.Type == "Warning" && e.Message.Contains("compute other bits", StringComparison.Ordinal)));

        await scene.StepAsync(3, Start);
        var others = cluster.Pods(Scene.Worker).Where(p => !p.Metadata.Labels.ContainsKey(Odd)).ToList();
        stage.Tally.Check("the run goes on with the others", others.Count == 2 && others.All(p => p.IsReady() && p.Restarts() == 0));
        cluster.State.Delete(cluster.State.Find<V1Deployment>(Odd)!);
        await scene.WaitAsync("it is deleted", Start, () => Pod() is null);
    }

    private async Task StuckAsync(Scene scene)
    {
        var cluster = scene.Cluster;
        await scene.ReadyAsync(2, Start);
        var stuck = cluster.Pods(Scene.Worker)[0];
        stage.Tally.Say($"SIGSTOP to {stuck.Metadata.Name} (at step {scene.Steps})");
        cluster.Signal(stuck, Shell.Stop);
        await scene.WaitAsync("it is not ready", Start, () => cluster.State.Find<V1Pod>(stuck.Metadata.Name)?.IsReady() != true);
        await scene.StepAsync(5, Start);
        stage.Tally.Check("the run goes on without it", true);
        await scene.WaitAsync("its liveness probe has killed it", Long, () =>
            cluster.Events.Any(e => e.Pod == stuck.Metadata.Name && e.Reason == "Killing" && e.Message.Contains("liveness", StringComparison.Ordinal)));
        await scene.WaitAsync("it is started again", Long, () => cluster.State.Find<V1Pod>(stuck.Metadata.Name)?.Restarts() == 1);
        await scene.ReadyAsync(2, Long);
        stage.Tally.Check("a worker that hangs is killed by its probe, and comes back", true);
    }
}
