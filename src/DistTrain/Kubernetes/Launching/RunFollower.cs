using DistTrain.Core.Options;
using DistTrain.Launching;
using DistTrain.Views;
using Grpc.Core;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// Follows a launched run until its Job says how it ended: what the coordinator tells through its pod's port, and what keeps the cluster from running it. A
/// coordinator that is replaced is found again; where ports may not be forwarded, its log is followed instead.
/// </summary>
internal sealed class RunFollower(ClusterSession cluster, RunNames names, IRunViewer viewer, TimeSpan startPatience)
{
    private const int MostFailures = 60;
    private const int MostUnheard = 15;
    private static readonly TimeSpan Between = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan LastWords = TimeSpan.FromSeconds(5);

    private readonly HashSet<string> _told = [];
    private readonly Dictionary<string, int> _logged = [];
    private readonly TimeProvider _time = cluster.Time;
    private volatile bool _mayForward = true;
    private int _unheard;
    private V1.RunStarted? _started;
    private V1.RunFinished? _finished;

    /// <summary>Follows the run.</summary>
    /// <param name="stop">Ends the following; the run goes on.</param>
    /// <exception cref="ClusterException">The cluster does not answer any more.</exception>
    /// <exception cref="OperationCanceledException">It was stopped.</exception>
    public async Task<LocalRunResult> FollowAsync(CancellationToken stop)
    {
        var begun = _time.GetTimestamp();
        var hasRun = false;
        var (watched, watching) = ("", Task.CompletedTask);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var pod = CancellationTokenSource.CreateLinkedTokenSource(over.Token);
        try
        {
            while (true)
            {
                var run = await TakeAsync(stop);
                var problems = RunDiagnosis.Of(run);
                problems.Where(p => _told.Add($"{p.Subject} {p.Sentence}")).ToList().ForEach(p => Tell("cluster", $"{p.Subject}: {p.Sentence}"));
                hasRun |= run.Phase == RunPhase.Running;
                if (run.Phase is RunPhase.Completed or RunPhase.Failed)
                {
                    await Task.WhenAny(watching, Task.Delay(LastWords, _time, stop));
                    return End(run, problems);
                }

                if (Hopeless(run, problems, hasRun, begun) is { } hopeless)
                {
                    return new LocalRunResult(false, hopeless, null);
                }

                if (run is { Phase: RunPhase.Running, Coordinator.Metadata.Name: var name } && (name != watched || watching.IsCompleted))
                {
                    await pod.CancelAsync();
                    await watching;
                    pod.Dispose();
                    pod = CancellationTokenSource.CreateLinkedTokenSource(over.Token);
                    (watched, watching) = (name, WatchAsync(name, pod.Token));
                }

                await Task.Delay(Between, _time, stop);
            }
        }
        finally
        {
            await over.CancelAsync();
            await watching;
            pod.Dispose();
        }
    }

    private LocalRunResult End(RunSnapshot run, IReadOnlyList<RunProblem> problems) => run.Phase == RunPhase.Completed
        ? new LocalRunResult(true, "", _finished?.SummaryJson)
        : new LocalRunResult(false, problems.Count > 0 ? problems[0].Sentence : "The run has failed.", _finished?.SummaryJson);

    /// <summary>Why no more waiting helps; null where it may.</summary>
    private string? Hopeless(RunSnapshot run, IReadOnlyList<RunProblem> problems, bool hasRun, long begun)
    {
        if (run.Phase == RunPhase.Missing)
        {
            return $"The run {names.Run} was deleted from the namespace {cluster.Namespace}.";
        }

        if (run.Phase != RunPhase.Running && problems.FirstOrDefault(p => p.IsFinal) is { } final)
        {
            return $"{final.Subject}: {final.Sentence}";
        }

        return hasRun || run.Phase == RunPhase.Suspended || _time.GetElapsedTime(begun) < startPatience ? null
            : $"No coordinator has run within {Duration.Format(startPatience)}. {(problems.Count > 0 ? problems[0].Sentence : "The cluster does not say why.")} The run is left as it is.";
    }

    /// <summary>Looks at the run; a cluster that is out of reach for a while is asked again.</summary>
    private async Task<RunSnapshot> TakeAsync(CancellationToken stop)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await RunSnapshot.TakeAsync(cluster, names, stop);
            }
            catch (ClusterException away) when (away.Fault == ClusterFault.Unreachable && attempt < MostFailures)
            {
                if (attempt == 1)
                {
                    Tell("cluster", away.Message);
                }
            }

            await Task.Delay(Between, _time, stop);
        }
    }

    /// <summary>Passes on what one pod of the coordinator tells, until it tells no more or the stream breaks.</summary>
    private async Task WatchAsync(string pod, CancellationToken over)
    {
        try
        {
            await (_mayForward ? PassEventsAsync(pod, over) : PassLogAsync(pod, over));
        }
        catch (Exception broken) when (broken is RpcException or IOException or HttpRequestException or ClusterException or OperationCanceledException)
        {
            if (!_mayForward || over.IsCancellationRequested)
            {
                return;
            }

            var refused = CoordinatorWatch.Refusal(broken);
            if (refused is not null || (_started is null && ++_unheard >= MostUnheard))
            {
                _mayForward = false;
                Tell("cluster", $"{refused?.Message ?? "The coordinator's port is not reached through the cluster's API server."} The coordinator's log is followed instead.");
            }
        }
    }

    private async Task PassEventsAsync(string pod, CancellationToken over)
    {
        await foreach (var happened in CoordinatorWatch.FollowAsync(cluster, pod, over))
        {
            if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Finished)
            {
                // What a coordinator says at its end counts where the Job agrees; else another one goes on.
                _finished = happened.Finished;
            }
            else if (happened.Started is not { } started || !started.Equals(_started))
            {
                _started = happened.Started ?? _started;
                viewer.Show(happened);
            }
        }
    }

    private async Task PassLogAsync(string pod, CancellationToken over)
    {
        // A stream that broke is read again from its start.
        var told = _logged.GetValueOrDefault(pod);
        var line = 0;
        await foreach (var text in PodLog.ReadAsync(cluster, pod, new LogChoice(Follow: true), over))
        {
            if (++line > told)
            {
                _logged[pod] = line;
                Tell("log", text);
            }
        }
    }

    private void Tell(string name, string sentence) =>
        viewer.Show(new V1.RunEvent { Happening = new V1.Happening { Name = name, Sentence = sentence } });
}
