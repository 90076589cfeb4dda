using DistTrain.Core.Membership;
using DistTrain.Kubernetes.Tests.Objects;
using k8s.Models;
using YamlDotNet.RepresentationModel;

namespace DistTrain.Kubernetes.Tests.Policy;

/// <summary>How pods begin, are asked, end and are replaced, held against the program's own time limits.</summary>
internal static class Lifecycle
{
    public static Rule CoordinatorsAreReplaced { get; } = new("a coordinator's pod is replaced, its failures are counted, and a wrong configuration fails at once", set =>
        from job in set.Jobs
        where job.Spec.Template.Spec.Containers.Any(c => c.Name == "coordinator")
        let rules = job.Spec.PodFailurePolicy?.Rules ?? []
        let wrong = job.Spec.Template.Spec.RestartPolicy != "Never" ? "restarts in its pod, so that no policy sees why it failed"
            : job.Spec.BackoffLimit is not > 0 ? "may not fail once"
            : job.Spec.ActiveDeadlineSeconds is not null || job.Spec.TtlSecondsAfterFinished is not null ? "is ended or deleted by a clock"
            : !rules.Any(r => r is { Action: "FailJob", OnExitCodes: { ContainerName: "coordinator", OperatorProperty: "In", Values: [2] } }) ? "goes on after exit code 2"
            : !rules.Any(r => r is { Action: "Ignore", OnPodConditions: [{ Type: "DisruptionTarget", Status: "True" }] }) ? "counts evictions as failures"
            : !rules.Any(r => r is { Action: "Ignore", OnExitCodes: { ContainerName: "coordinator", OperatorProperty: "In", Values: [143] } }) ? "counts it as a failure that it was asked to end"
            : null
        where wrong is not null
        select $"{job.Owner}: {wrong}");

    public static Rule WorkersNeedNoSpare { get; } = new("a rollout of workers needs no spare node, and no budget keeps one from going", set =>
    [
        .. from deployment in set.Of<V1Deployment>()
           where deployment.Spec.Strategy is not { Type: "RollingUpdate", RollingUpdate: { } rolling } || rolling.MaxSurge?.ToString() != "0"
           select $"{ManifestSet.OwnerName(deployment)}: a rollout starts new pods before old ones go",
        .. from budget in set.Of<V1PodDisruptionBudget>()
           where budget.Spec.MinAvailable is not null || budget.Spec.MaxUnavailable?.ToString() != "100%"
           select $"{ManifestSet.OwnerName(budget)}: a worker that is missing keeps others from being evicted",
    ]);

    public static Rule WorkersAreSpread { get; } = new("workers spread over nodes, as far as there is room", set =>
        from pod in set.Pods
        where pod.Metadata.Labels.ValueOf(Labels.Component) == "worker"
        where pod.Spec.TopologySpreadConstraints?.Any(s => s is { TopologyKey: "kubernetes.io/hostname", WhenUnsatisfiable: "ScheduleAnyway" }) != true
        select $"{pod.Name}: its pods do not spread, or wait for a node of their own");

    public static Rule VolumesAreKept { get; } = new("the run's folder is on a claim of one writer, and only the coordinator mounts it to write", set =>
    [
        .. from claim in set.Of<V1PersistentVolumeClaim>()
           where claim.Spec.AccessModes is not ["ReadWriteOnce"]
           select $"{ManifestSet.OwnerName(claim)}: is not ReadWriteOnce",
        .. from container in set.Containers
           where container.Pod.Metadata.Labels.ValueOf(Labels.Component) != "coordinator"
           from mount in container.Spec.VolumeMounts ?? []
           where mount.ReadOnlyProperty != true && (container.Pod.Spec.Volumes ?? []).Any(v => v.Name == mount.Name && v.PersistentVolumeClaim is not null)
           select $"{container.Name}: may write the run's folder",
        .. from container in set.Containers
           where container.Spec.Args?.FirstOrDefault() == "coordinator"
           let folder = container.Argument("--out") ?? ""
           where !(container.Spec.VolumeMounts ?? []).Any(m => Containers.Below(folder, m.MountPath)
               && (container.Pod.Spec.Volumes ?? []).Any(v => v.Name == m.Name && v.PersistentVolumeClaim is not null))
           select $"{container.Name}: its folder is gone with its pod",
    ]);

    public static Rule EndsHaveTime { get; } = new("a pod that is asked to end has the time that the program takes", set =>
        from container in set.Containers
        where container.RunsProgram
        let times = TimesOf(set)
        let isWorker = container.Spec.Args?.FirstOrDefault() == "worker"
        let needed = isWorker ? Timeouts.Default.Grace : times.Grace
        where container.Pod.Spec.TerminationGracePeriodSeconds is not { } seconds || seconds < needed.TotalSeconds
        select $"{container.Name}: has {container.Pod.Spec.TerminationGracePeriodSeconds} s to end, needs {needed.TotalSeconds} s");

    public static Rule StartsHaveTime { get; } = new("a start may take twice as long as the launcher would wait", set =>
        from container in set.Containers
        where container.RunsProgram
        let window = Window(container.Spec.StartupProbe)
        where window < 2 * Timeouts.Default.ProcessStart
        select $"{container.Name}: has {window.TotalSeconds} s to start");

    public static Rule LivenessIsLast { get; } = new("liveness ends a process only after every limit by which the run itself would have given it up", set =>
        from container in set.Containers
        where container.RunsProgram
        let times = TimesOf(set)
        let window = Window(container.Spec.LivenessProbe)
        where window < times.StartUpSilence
        select $"{container.Name}: is ended after {window.TotalSeconds} s, the coordinator may wait for {times.StartUpSilence.TotalSeconds} s");

    public static Rule ReadinessIsQuick { get; } = new("readiness is asked so often that a new coordinator is found, and a member seen, within seconds", set =>
        from container in set.Containers
        where container.RunsProgram && container.Spec.ReadinessProbe?.PeriodSeconds is not (>= 1 and <= 5)
        select $"{container.Name}: is asked every {container.Spec.ReadinessProbe?.PeriodSeconds?.ToString() ?? "10"} s whether it is ready");

    public static IReadOnlyList<Rule> Rules { get; } =
        [CoordinatorsAreReplaced, WorkersNeedNoSpare, WorkersAreSpread, VolumesAreKept, EndsHaveTime, StartsHaveTime, LivenessIsLast, ReadinessIsQuick];

    /// <summary>The time limits of the run that the set configures.</summary>
    private static Timeouts TimesOf(ManifestSet set)
    {
        var stream = new YamlStream();
        stream.Load(new StringReader(set.Of<V1ConfigMap>().Single(map => map.Data.ContainsKey("run.yaml")).Data["run.yaml"]));
        return ((YamlMappingNode)stream.Documents[0].RootNode).Children.TryGetValue("failureDetection", out var given)
            && Core.Options.Duration.TryParse(given.ToString(), out var detection)
            ? new Timeouts(detection)
            : Timeouts.Default;
    }

    private static TimeSpan Window(V1Probe? probe) => TimeSpan.FromSeconds((probe?.PeriodSeconds ?? 0) * (probe?.FailureThreshold ?? 0));
}
