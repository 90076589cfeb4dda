using System.Text.Json.Nodes;
using DistTrain.TestKit.Kubernetes;

namespace DistTrain.Cli.Tests.Kubernetes.InCluster;

/// <summary>A cluster in which a run's workers are two, and in which only that is allowed which the Roles of a run allow.</summary>
internal sealed class TestCluster : IAsyncDisposable
{
    public const string Space = "training";
    public const string Deployment = "disttrain-worker";
    public const string Job = "disttrain-coordinator";

    private static readonly ResourcePath _deployment = FakeCluster.PathOf("deployments.apps", Space, Deployment);
    private static readonly ResourcePath _job = FakeCluster.PathOf("jobs.batch", Space, Job);
    private readonly TempFolder _folder = new();
    private readonly FakeApiServer _api;

    private TestCluster(FakeApiServer api)
    {
        _api = api;
    }

    /// <summary>Looks at what is allowed, too.</summary>
    public Func<ClusterRequest, StatusReply?> Refuse { get; set; } = _ => null;

    /// <summary>Released by every request.</summary>
    public SemaphoreSlim Asked { get; } = new(0);

    /// <summary>The environment of a pod.</summary>
    public IReadOnlyDictionary<string, string> Environment => new Dictionary<string, string>
    {
        ["KUBECONFIG"] = _folder["config"],
        ["POD_NAME"] = "disttrain-worker-1",
        ["POD_NAMESPACE"] = Space,
        ["POD_UID"] = "0f3f",
        ["NODE_NAME"] = "node-7",
        ["DISTTRAIN__FAILUREDETECTION"] = "20s",
    };

    public Surroundings Surroundings { get; } = new()
    {
        Out = new StringWriter(),
        Error = new StringWriter(),
        Environment = new Dictionary<string, string>(),
        Program = DistTrain.Launching.ChildCommand.OfThisProcess(),
    };

    public int Replicas => (int)_api.Cluster.Find(_deployment)!["spec"]!["replicas"]!;

    public IReadOnlyList<JsonObject> Events => _api.Cluster.List(FakeCluster.PathOf("events", Space));

    public IReadOnlyList<string> Requests => [.. _api.Requests.Select(r => $"{r}")];

    public static async Task<TestCluster> StartAsync()
    {
        var cluster = new TestCluster(await FakeApiServer.StartAsync());
        cluster._folder.File("config", cluster._api.Kubeconfig());
        cluster._api.Cluster.AddNamespace(Space);
        cluster._api.Cluster.Put(_deployment, new JsonObject
        {
            ["metadata"] = new JsonObject { ["name"] = Deployment, ["namespace"] = Space },
            ["spec"] = new JsonObject { ["replicas"] = 2 },
        });
        cluster._api.Refuse = cluster.Look;
        return cluster;
    }

    /// <summary>Puts the Job there, in a condition; null for one that runs.</summary>
    public void PutJob(string? condition) => _api.Cluster.Put(_job, new JsonObject
    {
        ["metadata"] = new JsonObject { ["name"] = Job, ["namespace"] = Space },
        ["spec"] = new JsonObject(),
        ["status"] = new JsonObject
        {
            ["conditions"] = condition is null ? [] : new JsonArray(new JsonObject { ["type"] = condition, ["status"] = "True" }),
        },
    });

    public async ValueTask DisposeAsync()
    {
        await _api.DisposeAsync();
        _folder.Dispose();
        Asked.Dispose();
    }

    private StatusReply? Look(ClusterRequest request)
    {
        Asked.Release();
        var isAllowed = $"{request}" is $"patch deployments.apps/scale {Space}/{Deployment}" or $"get jobs.batch {Space}/{Job}" or $"create events {Space}/";
        return isAllowed ? Refuse(request) : StatusReply.Forbidden($"system:serviceaccount:{Space}:disttrain", request.Verb, request.Path);
    }
}
