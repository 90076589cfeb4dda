using DistTrain.PlayedCluster.Controllers;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>What a kubelet does for one pod, from its sandbox to its end.</summary>
internal sealed class PodRunner
{
    private static readonly TimeSpan VolumePatience = TimeSpan.FromMinutes(2);

    private readonly Node _node;
    private readonly V1Pod _pod;
    private readonly string _name;
    private readonly PodVolumes _volumes;
    private readonly string _folder;
    private readonly List<ContainerRunner> _containers = [];
    private readonly TaskCompletionSource<TimeSpan> _ending = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Takes a pod on, which has been given to this node.</summary>
    public PodRunner(Node node, V1Pod pod)
    {
        if (pod.Spec.InitContainers is { Count: > 0 })
        {
            throw new NotPlayedException("init containers");
        }

        (_node, _pod, _name) = (node, pod, pod.Metadata.Name);
        _folder = Path.Combine(node.Folder, "pods", pod.Metadata.Name);
        Directory.CreateDirectory(Path.Combine(_folder, "etc"));
        _volumes = new PodVolumes(node.State, _folder, Path.Combine(node.Folder, "claims"), node.Credentials.FolderFor(pod));
        _containers.AddRange(pod.Spec.Containers.Select(c => new ContainerRunner(node, pod, c, _folder, _ending.Task)));
    }

    /// <summary>The pod, as it was made.</summary>
    public V1Pod Pod => _pod;

    /// <summary>Whether it was asked to end.</summary>
    public bool IsEnding => _ending.Task.IsCompleted;

    /// <summary>Completed when it has ended and nothing of it is left.</summary>
    public Task End { get; private set; } = Task.CompletedTask;

    /// <summary>Begins.</summary>
    public void Start() => End = RunAsync();

    /// <summary>Asks it to end, as the deletion of a pod does: once, with a grace.</summary>
    public void Terminate(TimeSpan grace) => _ending.TrySetResult(grace);

    /// <summary>Sends a signal to the first process of each container, which no cluster would.</summary>
    public void Signal(int signal)
    {
        foreach (var container in _containers)
        {
            container.Signal(signal);
        }
    }

    /// <summary>Runs a command in its first container.</summary>
    public Task<(int Code, string Output, string Error)> ExecuteAsync(IReadOnlyList<string> command, TimeSpan patience) => _containers[0].ExecuteAsync(command, patience);

    private async Task RunAsync()
    {
        var network = Network.PodNetwork.NameOf(_pod);
        try
        {
            if (!await HasVolumesAsync())
            {
                return;
            }

            var address = await _node.Network.ConnectAsync(network);
            Change(p =>
            {
                p.Status.PodIP = address;
                p.Status.HostIP = Network.PodNetwork.NodeAddress;
                p.Status.StartTime = DateTime.UtcNow;
            });
            WriteEtc(address);
            Change(p => p.Status.Phase = "Running");
            await Task.WhenAll(_containers.Select(c => c.RunAsync(network, address, _volumes)));
            Change(p =>
            {
                p.Status.Phase = p.Status.ContainerStatuses.All(c => c.State.Terminated?.ExitCode == 0) ? PodFacts.Succeeded : PodFacts.Failed;
                ContainerRunner.SetReady(p, false);
            });
        }
        catch (Exception e) when (e is InvalidOperationException or IOException)
        {
            _node.Tell(_pod, "Warning", "Failed", e.Message);
            Change(p => (p.Status.Phase, p.Status.Message) = (PodFacts.Failed, e.Message));
        }
        finally
        {
            await Network.PodNetwork.DisconnectAsync(network);
            await _volumes.EndAsync();
        }
    }

    /// <summary>Waits for volumes that are not there yet, as a pod that was created before its claim or its ConfigMap does.</summary>
    private async Task<bool> HasVolumesAsync()
    {
        var deadline = DateTime.UtcNow + VolumePatience;
        while (await _volumes.PrepareAsync(_pod) is { } missing)
        {
            _node.Tell(_pod, "Warning", "FailedMount", missing);
            if (DateTime.UtcNow > deadline || await Task.WhenAny(_ending.Task, Task.Delay(TimeSpan.FromSeconds(1))) == _ending.Task)
            {
                Change(p => (p.Status.Phase, p.Status.Message) = (PodFacts.Failed, missing));
                return false;
            }
        }

        return true;
    }

    private void Change(Action<V1Pod> change) => _node.State.Change(_name, change);

    private void WriteEtc(string address)
    {
        var etc = Path.Combine(_folder, "etc");
        File.WriteAllText(Path.Combine(etc, "hostname"), _pod.Metadata.Name + "\n");
        File.WriteAllText(Path.Combine(etc, "hosts"), $"127.0.0.1\tlocalhost\n{address}\t{_pod.Metadata.Name}\n");
        var space = _node.State.Space;
        File.WriteAllText(
            Path.Combine(etc, "resolv.conf"),
            $"search {space}.svc.cluster.local svc.cluster.local cluster.local\nnameserver {Network.NameServer.Address}\noptions ndots:5\n");
    }
}
