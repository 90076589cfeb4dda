using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>The program itself as the cluster's user: it launches a run under another name, follows it, tells of it, scales it and deletes it.</summary>
internal sealed class LaunchedPlay(Stage stage)
{
    private const string Name = "other";
    private static readonly TimeSpan Start = TimeSpan.FromSeconds(90);
    private static readonly TimeSpan Whole = TimeSpan.FromMinutes(4);

    /// <summary>Plays it.</summary>
    public async Task RunAsync()
    {
        await using var scene = new Scene(stage, await stage.StartAsync("launched"), $"{Name}-worker");
        var cluster = scene.Cluster;
        var folder = stage.FolderOf("launched");
        var (kubeconfig, file) = (Path.Combine(folder, "kubeconfig"), Path.Combine(folder, "run.yaml"));
        await File.WriteAllTextAsync(kubeconfig, cluster.Kubeconfig());
        await File.WriteAllTextAsync(file, RunFile.Text(0).Replace($"steps: {RunFile.Steps}", "steps: 1000", StringComparison.Ordinal));
        Task<(int Code, string Output)> Ask(params string[] words) => stage.RunAsync(Whole, [.. words, "--kubeconfig", kubeconfig, "--namespace", Cluster.Space]);

        stage.Tally.Say($"disttrain launch kubernetes run.yaml --name {Name} --workers 2");
        var launched = Ask("launch", "kubernetes", file, "--name", Name, "--workers", "2");
        await scene.WaitAsync("its workers are wanted", Start, () => launched.IsCompleted || cluster.State.Find<V1Deployment>($"{Name}-worker") is not null);
        if (launched.IsCompleted)
        {
            var (_, words) = await launched;
            throw new PlayBrokenException($"the run was not launched: {words}");
        }

        await scene.ReadyAsync(2, Start);
        await ExpectAsync("disttrain scale", Ask("scale", Name, "--workers", "3"), "");
        await scene.ReadyAsync(3, Start);
        await ExpectAsync("disttrain status", Ask("status", Name), Name);
        await ExpectAsync("disttrain logs", Ask("logs", Name), "Listening on");
        var (code, output) = await launched;
        stage.Tally.Check("the launch has followed the run to its end", code == 0 && output.Contains("completed", StringComparison.Ordinal), output);
        await scene.WaitAsync(
            "the Job is complete and no worker is left", Start, () => scene.JobIs("Complete") && scene.Workers.Spec.Replicas == 0 && !cluster.IsAnythingLeft);
        await ExpectAsync("disttrain delete", Ask("delete", Name), "");
        bool IsGone() => cluster.State.All<V1Job>().Count + cluster.State.All<V1Deployment>().Count + cluster.State.All<V1Pod>().Count == 0;
        await scene.WaitAsync("its objects are gone", Start, IsGone);
        stage.Tally.Check("the run's folder is still there", Directory.Exists(Path.Combine(cluster.FolderOfClaim($"{Name}-run"), "run", "checkpoints")));
        stage.Tally.Check("no service account was refused anything", cluster.Access.Refused.Length == 0, cluster.Access.Refused);
    }

    private async Task ExpectAsync(string what, Task<(int Code, string Output)> asked, string pattern)
    {
        var (code, output) = await asked;
        stage.Tally.Check(what, code == 0 && output.Contains(pattern, StringComparison.Ordinal), output);
    }
}
