using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>A configuration that no start can mend: the Job fails at once, and no worker is left.</summary>
internal sealed class MistakePlay(Stage stage)
{
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(90);

    /// <summary>In how much time after the Job has failed the workers have to be gone.</summary>
    public static TimeSpan Freed { get; } = TimeSpan.FromMinutes(2);

    /// <summary>Plays it.</summary>
    public async Task RunAsync()
    {
        await using var scene = new Scene(stage, await stage.StartAsync("mistake"));
        scene.Cluster.Apply(RunFile.In(stage.Objects(), RunFile.Text(0).Replace("global: 128", "global: -1", StringComparison.Ordinal), replicas: 2));
        await scene.WaitAsync("the Job has failed", Start, () => scene.JobIs("Failed"));
        stage.Tally.Check("by its podFailurePolicy", scene.Job.Status.Conditions[0].Reason == "PodFailurePolicy", scene.Job.Status.Conditions[0].Reason);
        var pods = scene.Cluster.State.All<V1Pod>().Where(p => p.Metadata.Labels["app.kubernetes.io/component"] == Scene.Coordinator).ToList();
        stage.Tally.Check("with one pod, whose exit code is 2", pods is [{ Status.ContainerStatuses: [{ State.Terminated.ExitCode: 2 }] }]);
        var message = pods[0].Status.ContainerStatuses[0].State.Terminated.Message;
        stage.Tally.Check("its termination message names the key", message.Contains("batch.global", StringComparison.Ordinal), message);
        await FreedAsync(stage, scene);
    }

    /// <summary>No worker is left, soon after the Job has failed.</summary>
    public static async Task FreedAsync(Stage stage, Scene scene)
    {
        var took = await scene.WaitAsync("no worker is wanted and none is left", 2 * Freed, () => scene.Workers.Spec.Replicas == 0 && !scene.Cluster.IsAnythingLeft);
        stage.Tally.Check($"workers are gone within {Freed.TotalSeconds:0} s after the Job has failed", took < Freed, $"{took.TotalSeconds:0} s");
        stage.Tally.Check("the API server has refused nobody", scene.Cluster.Access.Refused.Length == 0, scene.Cluster.Access.Refused);
    }
}
