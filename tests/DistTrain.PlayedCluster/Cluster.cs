using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography.X509Certificates;
using DistTrain.PlayedCluster.Api;
using DistTrain.PlayedCluster.Controllers;
using DistTrain.PlayedCluster.Network;
using DistTrain.PlayedCluster.Nodes;
using DistTrain.TestKit.Kubernetes;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster;

/// <summary>A cluster of three nodes with one namespace: API server, controllers, name service, kubelets, in the namespaces of this process.</summary>
internal sealed class Cluster : IAsyncDisposable
{
    /// <summary>The API server, as pods see it.</summary>
    public const string ApiAddress = "10.96.0.1";

    /// <summary>The namespace of everything that is played.</summary>
    public const string Space = "training";

    private const int ApiPort = 443;

    private readonly Credentials _credentials;
    private readonly Node _node;
    private readonly FakeApiServer _server;
    private readonly ControlLoop _control;
    private readonly CancellationTokenSource _over = new();
    private readonly List<Task> _loops = [];

    private Cluster(Credentials credentials, Node node, FakeApiServer server, AccessControl access)
    {
        (_credentials, _node, _server, Access) = (credentials, node, server, access);
        _control = new ControlLoop(node, _over.Token);
    }

    /// <summary>The objects.</summary>
    public ClusterState State => _node.State;

    /// <summary>Who asked the API server for what.</summary>
    public AccessControl Access { get; }

    /// <summary>What the nodes said.</summary>
    public IReadOnlyList<ClusterEvent> Events => _node.Events;

    /// <summary>Every pod there ever was, as it was made.</summary>
    public IReadOnlyList<V1Pod> History => _control.History;

    /// <summary>Starts a cluster without objects.</summary>
    /// <param name="network">The network of this process.</param>
    /// <param name="groups">The control groups of this machine.</param>
    /// <param name="images">What pods may ask for.</param>
    /// <param name="folder">Where its files lie.</param>
    /// <param name="hurry">By how much back-off times are divided.</param>
    /// <param name="say">Prints a line.</param>
    public static async Task<Cluster> StartAsync(PodNetwork network, ControlGroups groups, IReadOnlyList<Image> images, string folder, double hurry, Action<string> say)
    {
        var objects = new FakeCluster();
        objects.AddNamespace(Space);
        var state = new ClusterState(objects, Space);
        var credentials = new Credentials(state, Path.Combine(folder, "accounts"));
        var access = new AccessControl(state, credentials, say);
        var node = new Node
        {
            State = state,
            Network = network,
            Groups = groups,
            Credentials = credentials,
            Images = images,
            Logs = new ContainerLogs(Path.Combine(folder, "logs")),
            Folder = folder,
            Hurry = hurry,
            Say = say,
            ClusterEnvironment = new Dictionary<string, string> { ["KUBERNETES_SERVICE_HOST"] = ApiAddress, ["KUBERNETES_SERVICE_PORT"] = $"{ApiPort}" },
        };
        var server = await FakeApiServer.StartAsync(objects, IPAddress.Parse(ApiAddress), ApiPort, credentials.Server);
        server.Refuse = access.Refuse;
        server.LogOf = (_, pod, container, previous) => node.Logs.Find(pod, container, previous);
        server.Dial = (_, pod, port, cancellation) => DialAsync(state, pod, port, cancellation);
        var cluster = new Cluster(credentials, node, server, access);
        cluster.Begin(() => new NameServer(cluster.LookUp).RunAsync(cluster._over.Token));
        cluster.Begin(() => state.FollowAsync(cluster._over.Token));
        cluster.Begin(cluster._control.RunAsync);
        return cluster;
    }

    /// <summary>A client with the rights of an administrator.</summary>
    public Kubernetes Client() => new(new KubernetesClientConfiguration
    {
        Host = $"https://{ApiAddress}:{ApiPort}",
        AccessToken = _credentials.AdministratorToken,
        SslCaCerts = [X509CertificateLoader.LoadCertificateFromFile(_credentials.AuthorityFile)],
    });

    /// <summary>The same for other programs.</summary>
    public string Kubeconfig() => $$"""
        apiVersion: v1
        kind: Config
        current-context: played
        clusters:
        - name: played
          cluster: { server: "https://{{ApiAddress}}:{{ApiPort}}", certificate-authority: "{{_credentials.AuthorityFile}}" }
        contexts:
        - name: played
          context: { cluster: played, user: administrator }
        users:
        - name: administrator
          user: { token: "{{_credentials.AdministratorToken}}" }

        """;

    /// <summary>Creates objects, as they are in a file.</summary>
    public void Apply(IEnumerable<IKubernetesObject<V1ObjectMeta>> objects)
    {
        foreach (var given in objects)
        {
            given.Metadata.NamespaceProperty = Space;
            State.Put(given);
        }
    }

    /// <summary>The pods of a component, without those that have ended.</summary>
    public IReadOnlyList<V1Pod> Pods(string component) =>
        [.. State.All<V1Pod>().Where(p => !p.IsFinished() && p.Metadata.Labels["app.kubernetes.io/component"] == component)];

    /// <summary>Takes a pod off its node with its grace period, by something that a job does not hold against it.</summary>
    public void Evict(V1Pod pod, string reason)
    {
        State.Change<V1Pod>(pod.Metadata.Name, p =>
        {
            p.Status.Conditions ??= [];
            p.Status.Conditions.Add(new V1PodCondition { Type = PodFacts.DisruptionTarget, Status = "True", Reason = reason, LastTransitionTime = DateTime.UtcNow });
        });
        State.Delete(pod);
    }

    /// <summary>Evicts a pod where the disruption budgets let it go.</summary>
    /// <returns>The budget that forbids it; null where it goes.</returns>
    public string? TryEvict(V1Pod pod)
    {
        if (Disruptions.Forbidding(pod, State.All<V1PodDisruptionBudget>(), State.All<V1Pod>()) is { } budget)
        {
            return budget;
        }

        Evict(pod, "EvictionByEvictionAPI");
        return null;
    }

    /// <summary>Sends a signal to the first process of each of a pod's containers.</summary>
    public void Signal(V1Pod pod, int signal) => _control.RunnerOf(pod.Metadata.Name)?.Signal(signal);

    /// <summary>Runs a command in a pod's first container, as its user.</summary>
    public Task<(int Code, string Output, string Error)> ExecuteAsync(V1Pod pod, TimeSpan patience, params string[] command) =>
        _control.RunnerOf(pod.Metadata.Name)?.ExecuteAsync(command, patience) ?? Task.FromResult((-1, "", $"there is no pod {pod.Metadata.Name}"));

    /// <summary>No new pod comes to a node.</summary>
    public void Cordon(string node, bool isCordoned) => _control.Cordon(node, isCordoned);

    /// <summary>The file with the output of a pod's first container.</summary>
    public string LogOf(V1Pod pod) => _node.Logs.FileOf(pod, pod.Spec.Containers[0]);

    /// <summary>The folder behind a claim.</summary>
    public string FolderOfClaim(string claim) => Path.Combine(_node.Folder, "claims", claim);

    /// <summary>Whether a container or anything else of a pod is left on the nodes.</summary>
    public bool IsAnythingLeft => _control.IsAnythingLeft;

    /// <summary>The addresses of a full name; null where there is no such name.</summary>
    public IReadOnlyList<IPAddress>? LookUp(string name)
    {
        const string Suffix = $".{Space}.svc.cluster.local";
        if (!name.EndsWith(Suffix, StringComparison.Ordinal) || State.Find<V1Service>(name[..^Suffix.Length]) is not { Spec.ClusterIP: not null } service)
        {
            return null;
        }

        var pods = State.All<V1Pod>();
        return service.Spec.ClusterIP != "None"
            ? [IPAddress.Parse(service.Spec.ClusterIP)]
            : [.. service.Spec.Ports.SelectMany(port => Ruleset.Endpoints(service, port, pods)).Select(e => IPEndPoint.Parse(e).Address).Distinct()];
    }

    /// <summary>Ends all pods at once, and the cluster.</summary>
    public async ValueTask DisposeAsync()
    {
        await _over.CancelAsync();
        await Task.WhenAll(_loops);
        await _control.EndAsync();
        await _server.DisposeAsync();
        _credentials.Dispose();
        _over.Dispose();
    }

    private static async Task<Stream> DialAsync(ClusterState state, string pod, int port, CancellationToken cancellation)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await socket.ConnectAsync(state.Find<V1Pod>(pod)?.Status.PodIP ?? throw new IOException($"the pod {pod} has no address"), port, cancellation);
            return new NetworkStream(socket, ownsSocket: true);
        }
        catch (SocketException refused)
        {
            socket.Dispose();
            throw new IOException($"error forwarding port {port} to pod {pod}: {refused.Message}", refused);
        }
    }

    private void Begin(Func<Task> loop) => _loops.Add(Loop.RunAsync(loop, _node.Say, _over.Token));
}
