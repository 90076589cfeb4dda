using DistTrain.PlayedCluster.Network;
using DistTrain.PlayedCluster.Nodes;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>What all plays have in common: the rendered objects, the image, this machine's network and control groups.</summary>
internal sealed class Stage
{
    /// <summary>By how much back-off times are divided.</summary>
    public const double Hurry = 40;

    private readonly PodNetwork _network;
    private readonly ControlGroups _groups;
    private readonly string _yaml;
    private readonly string _program;
    private readonly string _folder;

    private Stage(PodNetwork network, ControlGroups groups, string yaml, string program, string folder, bool isShort, Tally tally) =>
        (_network, _groups, _yaml, _program, _folder, IsShort, Tally) = (network, groups, yaml, program, folder, isShort, tally);

    /// <summary>Whether plays leave out what another one shows as well.</summary>
    public bool IsShort { get; }

    /// <summary>What held.</summary>
    public Tally Tally { get; }

    /// <summary>The name of the workers' Deployment.</summary>
    public string WorkersName => Objects().OfType<V1Deployment>().Single().Metadata.Name;

    /// <summary>Reads the objects and makes the network.</summary>
    public static async Task<Stage> BuildAsync(string objects, string program, string folder, bool isShort, Tally tally)
    {
        var groups = ControlGroups.Find();
        tally.Say($"Played: {groups.Describe()}.");
        tally.Say($"Back-off times are divided by {Hurry}; probes, grace periods and all other times are real.");
        tally.Say("Not played: seccomp profiles, egress policies, resource requests, spread and affinity; three nodes are names, their pods differ by their namespaces alone.");
        return new Stage(await PodNetwork.CreateAsync(), groups, await File.ReadAllTextAsync(objects), Path.GetFullPath(program), Path.GetFullPath(folder), isShort, tally);
    }

    /// <summary>The objects, read anew: a play may change its own.</summary>
    public IReadOnlyList<IKubernetesObject<V1ObjectMeta>> Objects() => [.. KubernetesYaml.LoadAllFromString(_yaml, strict: true).Cast<IKubernetesObject<V1ObjectMeta>>()];

    /// <summary>A cluster without objects, that knows the image they ask for.</summary>
    public Task<Cluster> StartAsync(string name)
    {
        var images = Objects().SelectMany(o => o switch
        {
            V1Job job => job.Spec.Template.Spec.Containers,
            V1Deployment deployment => deployment.Spec.Template.Spec.Containers,
            _ => [],
        }).Select(c => c.Image).Distinct().Select(image => new Image(image, _program)).ToList();
        return Cluster.StartAsync(_network, _groups, images, FolderOf(name), Hurry, Tally.Say);
    }

    /// <summary>The folder of a play.</summary>
    public string FolderOf(string play) => Directory.CreateDirectory(Path.Combine(_folder, play)).FullName;

    /// <summary>Runs a verb of the program on this machine, outside of all pods.</summary>
    public async Task<(int Code, string Output)> RunAsync(TimeSpan patience, params string[] arguments)
    {
        var (code, output, error) = await Shell.TryAsync(Path.Combine(_program, "disttrain"), arguments, null, patience);
        return (code, (output + error).Trim());
    }
}
