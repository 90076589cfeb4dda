using System.Security.Cryptography;
using System.Text;
using DistTrain.PlayedCluster.Network;
using DistTrain.PlayedCluster.Nodes;
using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster.Controllers;

/// <summary>The controllers, the scheduler and the kubelets' intake in one loop, which looks at all there is whenever something has changed.</summary>
internal sealed class ControlLoop(Node node, CancellationToken over)
{
    private const string NamesOfPods = "bcdfghjklmnpqrstvwxz2456789";
    private const int SuffixLength = 5;
    private const int FirstAddress = 20;
    private static readonly string[] NodeNames = ["node-1", "node-2", "node-3"];
    private static readonly TimeSpan Tick = TimeSpan.FromSeconds(1);

    private readonly Lock _gate = new();
    private readonly Dictionary<string, PodRunner> _runners = [];
    private readonly Dictionary<string, JobCounts> _jobs = [];
    private readonly HashSet<string> _counted = [];
    private readonly HashSet<string> _cordoned = [];
    private readonly List<V1Pod> _history = [];
    private readonly Random _random = new(1);

    private int _addresses = FirstAddress;
    private string _rules = "";

    /// <summary>Every pod there ever was, as it was made.</summary>
    public IReadOnlyList<V1Pod> History
    {
        get
        {
            lock (_gate)
            {
                return [.. _history];
            }
        }
    }

    /// <summary>Whether a container or anything else of a pod is left.</summary>
    public bool IsAnythingLeft
    {
        get
        {
            lock (_gate)
            {
                return _runners.Values.Any(r => !r.End.IsCompleted);
            }
        }
    }

    /// <summary>The pod's kubelet; null where nothing of the pod is there.</summary>
    public PodRunner? RunnerOf(string pod)
    {
        lock (_gate)
        {
            return _runners.GetValueOrDefault(pod);
        }
    }

    /// <summary>No new pod comes to a node.</summary>
    public void Cordon(string name, bool isCordoned)
    {
        lock (_gate)
        {
            _ = isCordoned ? _cordoned.Add(name) : _cordoned.Remove(name);
        }
    }

    /// <summary>Controls until it is over.</summary>
    public async Task RunAsync()
    {
        while (true)
        {
            foreach (var service in node.State.All<V1Service>().Where(s => s.Spec is { ClusterIP: null, Type: null or "ClusterIP" }))
            {
                node.State.Change<V1Service>(service.Metadata.Name, s => s.Spec.ClusterIP = $"10.96.0.{_addresses++}");
            }

            foreach (var job in node.State.All<V1Job>())
            {
                Control(job);
            }

            foreach (var deployment in node.State.All<V1Deployment>())
            {
                Control(deployment);
            }

            CollectGarbage();
            EndDeleted();
            await RouteAsync();
            await node.State.ChangedAsync(Tick, over);
        }
    }

    /// <summary>Ends all pods at once.</summary>
    public async Task EndAsync()
    {
        List<PodRunner> left;
        lock (_gate)
        {
            left = [.. _runners.Values];
        }

        left.ForEach(r => r.Terminate(TimeSpan.Zero));
        await Task.WhenAll(left.Select(r => r.End));
    }

    private void Control(V1Job job)
    {
        if (job.Status?.Conditions?.Any(c => c.Type is "Complete" or "Failed" && c.Status == "True") == true)
        {
            return;
        }

        var name = job.Metadata.Name;
        var counts = _jobs.GetValueOrDefault(job.Metadata.Uid, JobCounts.None);
        var pods = OwnedBy(job);
        foreach (var pod in pods.Where(p => p.IsFinished() && _counted.Add(p.Metadata.Name)))
        {
            var (verdict, why) = JobDecision.Judge(job.Spec.PodFailurePolicy, pod);
            node.Say($"{pod.Metadata.Name}: {pod.Status.Phase}, counted as {verdict}{(why.Length > 0 ? $" ({why})" : "")}");
            counts = JobDecision.After(job.Spec, counts, pod, DateTime.UtcNow);
        }

        _jobs[job.Metadata.Uid] = counts;
        var isPodThere = pods.Any(p => !p.IsFinished() || RunnerOf(p.Metadata.Name) is { End.IsCompleted: false });
        var step = JobDecision.Next(job.Spec, counts, isPodThere, DateTime.UtcNow, node.Hurry);
        var condition = step switch
        {
            JobStep.Complete => new V1JobCondition { Type = "Complete", Status = "True", Reason = "CompletionsReached" },
            JobStep.Fail(var reason, var message) => new V1JobCondition { Type = "Failed", Status = "True", Reason = reason, Message = message },
            _ => null,
        };
        node.State.Change<V1Job>(name, j =>
        {
            j.Status ??= new V1JobStatus();
            (j.Status.Active, j.Status.Succeeded, j.Status.Failed) = (isPodThere ? 1 : 0, counts.Succeeded, counts.Failed);
            if (condition is not null)
            {
                condition.LastTransitionTime = DateTime.UtcNow;
                j.Status.Conditions = [condition];
                j.Status.CompletionTime = condition.Type == "Complete" ? DateTime.UtcNow : null;
            }
        });
        if (condition is not null)
        {
            node.Say($"job/{name}: {condition.Type}: {condition.Reason} {condition.Message}");
        }
        else if (step is JobStep.Start)
        {
            Create(name, job, job.Spec.Template, new() { ["batch.kubernetes.io/job-name"] = name, ["job-name"] = name });
        }
    }

    private void Control(V1Deployment deployment)
    {
        var name = deployment.Metadata.Name;
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(KubernetesJson.Serialize(deployment.Spec.Template))))[..10];
        var pods = OwnedBy(deployment);
        var step = DeploymentDecision.Next(deployment.Spec, hash, pods);
        for (var i = 0; i < step.Create; i++)
        {
            Create($"{name}-{hash}", deployment, deployment.Spec.Template, new() { [DeploymentDecision.TemplateHash] = hash });
        }

        foreach (var pod in step.Delete)
        {
            node.State.Delete(pod);
        }

        node.State.Change<V1Deployment>(name, d =>
        {
            d.Status ??= new V1DeploymentStatus();
            (d.Status.Replicas, d.Status.ReadyReplicas) = (pods.Count(p => !p.IsTerminating()), pods.Count(p => p.IsReady()));
            d.Status.AvailableReplicas = d.Status.ReadyReplicas;
        });
    }

    private List<V1Pod> OwnedBy(IKubernetesObject<V1ObjectMeta> owner) =>
        [.. node.State.All<V1Pod>().Where(p => p.Metadata.OwnerReferences?.Any(o => o.Uid == owner.Metadata.Uid) == true)];

    private void Create(string prefix, IKubernetesObject<V1ObjectMeta> owner, V1PodTemplateSpec template, Dictionary<string, string> labels)
    {
        var spec = KubernetesJson.Deserialize<V1PodSpec>(KubernetesJson.Serialize(template.Spec));
        var pod = new V1Pod
        {
            Metadata = new V1ObjectMeta
            {
                Name = $"{prefix}-{new string(_random.GetItems<char>(NamesOfPods, SuffixLength))}",
                NamespaceProperty = node.State.Space,
                Labels = (template.Metadata.Labels ?? new Dictionary<string, string>()).Concat(labels).ToDictionary(),
                Annotations = template.Metadata.Annotations,
                OwnerReferences =
                [
                    new V1OwnerReference { ApiVersion = owner.ApiVersion, Kind = owner.Kind, Name = owner.Metadata.Name, Uid = owner.Metadata.Uid, Controller = true },
                ],
            },
            Spec = spec,
            Status = new V1PodStatus { Phase = "Pending" },
        };
        lock (_gate)
        {
            var all = node.State.All<V1Pod>();
            spec.NodeName = NodeNames.Where(n => !_cordoned.Contains(n)).MinBy(n => all.Count(p => p.Spec.NodeName == n && !p.IsFinished()));
            node.State.Put(pod);
            pod = node.State.Find<V1Pod>(pod.Metadata.Name)!;
            _history.Add(pod);
            var runner = new PodRunner(node, pod);
            _runners[pod.Metadata.Name] = runner;
            runner.Start();
            _ = Loop.RunAsync(() => ForgetAsync(runner), node.Say, over);
        }

        node.Say($"{pod.Metadata.Name}: created on {spec.NodeName}");
    }

    /// <summary>Looks again when a pod has ended: one that was deleted is gone then, and one that ended by itself stays to be looked at.</summary>
    private async Task ForgetAsync(PodRunner runner)
    {
        await runner.End.WaitAsync(over);
        node.State.Touch();
    }

    /// <summary>Pods go with their owner, also one that was made while its owner was deleted.</summary>
    private void CollectGarbage()
    {
        foreach (var pod in node.State.All<V1Pod>().Where(p => !p.IsTerminating()))
        {
            if (pod.Metadata.OwnerReferences is { Count: > 0 } owners && !owners.Any(OwnerIsThere))
            {
                node.State.Delete(pod);
            }
        }
    }

    private bool OwnerIsThere(V1OwnerReference owner) =>
        (owner.Kind == V1Job.KubeKind ? node.State.Find<V1Job>(owner.Name)?.Metadata.Uid : node.State.Find<V1Deployment>(owner.Name)?.Metadata.Uid) == owner.Uid;

    /// <summary>Asks the pods to end that somebody has deleted, and takes away those that have.</summary>
    private void EndDeleted()
    {
        foreach (var pod in node.State.All<V1Pod>())
        {
            var runner = RunnerOf(pod.Metadata.Name);
            if (pod.IsTerminating() && runner is { IsEnding: false })
            {
                runner.Terminate(TimeSpan.FromSeconds(pod.Metadata.DeletionGracePeriodSeconds ?? 30));
            }

            // A job looks at each of its pods once more, unless it is gone itself, or over.
            var job = pod.Metadata.OwnerReferences?.FirstOrDefault(o => o.Kind == V1Job.KubeKind);
            var isAwaited = pod.IsFinished() && !_counted.Contains(pod.Metadata.Name)
                && job is not null && OwnerIsThere(job) && node.State.Find<V1Job>(job.Name)?.Status?.Conditions is not { Count: > 0 };
            if (pod.IsTerminating() && runner is null or { End.IsCompleted: true } && !isAwaited)
            {
                node.State.Delete(pod, grace: 0);
                node.Say($"{pod.Metadata.Name}: gone");
            }
        }

        // Deleted without grace, as by kubectl delete --force: the object is gone at once, the process follows.
        lock (_gate)
        {
            foreach (var (name, runner) in _runners.Where(r => !r.Value.IsEnding && node.State.Find<V1Pod>(r.Key) is null))
            {
                runner.Terminate(TimeSpan.Zero);
            }
        }
    }

    private async Task RouteAsync()
    {
        var pods = node.State.All<V1Pod>().Where(p => p.Status.PodIP is not null && !p.IsFinished()).ToList();
        var rules = Ruleset.Of(node.State.Space, pods, node.State.All<V1Service>(), node.State.All<V1NetworkPolicy>());
        if (rules != _rules)
        {
            await PodNetwork.ApplyAsync(rules);
            _rules = rules;
        }
    }
}
