using DistTrain.PlayedCluster.Controllers;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>A coordinator that is killed until the Job's limit is used up: nobody is left to free the workers but the workers.</summary>
internal sealed class ExhaustedPlay(Stage stage)
{
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(90);

    /// <summary>Plays it.</summary>
    public async Task RunAsync()
    {
        await using var scene = new Scene(stage, await stage.StartAsync("exhausted"));
        var cluster = scene.Cluster;
        cluster.Apply(RunFile.In(stage.Objects(), RunFile.Text(100), replicas: 2));
        await scene.ReadyAsync(2, Start);
        await scene.StepAsync(2, Start);
        var limit = scene.Job.Spec.BackoffLimit ?? 6;
        for (var kill = 0; kill <= limit; kill++)
        {
            await scene.WaitAsync(
                $"coordinator {kill + 1} runs", Start, () => cluster.Pods(Scene.Coordinator) is [{ Status.ContainerStatuses: [{ State.Running: not null }] }]);
            var pod = cluster.Pods(Scene.Coordinator)[0].Metadata.Name;
            cluster.Signal(cluster.Pods(Scene.Coordinator)[0], Shell.Kill);
            await scene.WaitAsync("it is killed", Start, () => cluster.State.Find<k8s.Models.V1Pod>(pod)?.IsFinished() != false);
        }

        await scene.WaitAsync("the Job has failed", Start, () => scene.JobIs("Failed"));
        stage.Tally.Check($"its limit of {limit} is used up", scene.Job.Status.Conditions[0].Reason == "BackoffLimitExceeded");
        await MistakePlay.FreedAsync(stage, scene);
        var account = scene.Workers.Spec.Template.Spec.ServiceAccountName;
        stage.Tally.Check("a worker has set their number to 0", cluster.Access.HasScaled(account));
        stage.Tally.Check("no worker was started again", cluster.Events.Where(e => e.Reason == "Started").GroupBy(e => e.Pod).All(g => g.Count() == 1));
    }
}
