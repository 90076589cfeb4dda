using System.Net.Sockets;
using DistTrain.PlayedCluster.Network;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>Asks a container whether it has started, is ready and lives, from its node, in the periods its probes state.</summary>
internal sealed class Prober(V1Container container, V1Pod pod, string address, ContainerProcess process, Action<bool, bool> onChange, Action<string> onUnhealthy)
{
    private static readonly HttpClient Http = new(new SocketsHttpHandler { UseProxy = false, AllowAutoRedirect = false, PooledConnectionLifetime = TimeSpan.Zero });

    /// <summary>Probes until the container has to be killed.</summary>
    /// <returns>Why, and the grace that the failed probe gives in place of the pod's.</returns>
    public async Task<(string Reason, long? Grace)> RunAsync(CancellationToken cancellation)
    {
        onChange(container.StartupProbe is null, false);
        if (container.StartupProbe is { } startup && await UntilAsync("Startup", startup, ProbeState.Failing, s => s.Passes, cancellation) is { } why)
        {
            return (why, startup.TerminationGracePeriodSeconds);
        }

        onChange(true, container.ReadinessProbe is null);
        var ready = container.ReadinessProbe is { } readiness
            ? WatchAsync("Readiness", readiness, ProbeState.Failing, passes => onChange(true, passes), cancellation)
            : Task.Delay(Timeout.Infinite, cancellation);
        var live = container.LivenessProbe is { } liveness
            ? UntilAsync("Liveness", liveness, ProbeState.Passing, _ => false, cancellation)
            : ForeverAsync(cancellation);
        await await Task.WhenAny(ready, live);
        return (await live ?? "", container.LivenessProbe?.TerminationGracePeriodSeconds);
    }

    private static async Task<string?> ForeverAsync(CancellationToken cancellation)
    {
        await Task.Delay(Timeout.Infinite, cancellation);
        return null;
    }

    private async Task WatchAsync(string name, V1Probe probe, ProbeState state, Action<bool> tell, CancellationToken cancellation)
    {
        await foreach (var (result, _) in ResultsAsync(name, probe, cancellation))
        {
            var next = state.After(result, probe.SuccessThreshold ?? 1, probe.FailureThreshold ?? 3);
            if (next.Passes != state.Passes)
            {
                tell(next.Passes);
            }

            state = next;
        }
    }

    /// <summary>Until the probe has passed and that is enough, or has failed as often as it may.</summary>
    /// <returns>Why it failed; null where it passed.</returns>
    private async Task<string?> UntilAsync(string name, V1Probe probe, ProbeState state, Func<ProbeState, bool> isEnough, CancellationToken cancellation)
    {
        await foreach (var (result, why) in ResultsAsync(name, probe, cancellation))
        {
            state = state.After(result, probe.SuccessThreshold ?? 1, probe.FailureThreshold ?? 3);
            if (result && isEnough(state))
            {
                return null;
            }

            if (!result && state.InARow >= (probe.FailureThreshold ?? 3))
            {
                return $"Container {container.Name} failed {name.ToLowerInvariant()} probe: {why}";
            }
        }

        return null;
    }

    private async IAsyncEnumerable<(bool Result, string Why)> ResultsAsync(
        string name, V1Probe probe, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        await Task.Delay(TimeSpan.FromSeconds(probe.InitialDelaySeconds ?? 0), cancellation);
        using var period = new PeriodicTimer(TimeSpan.FromSeconds(probe.PeriodSeconds ?? 10));
        do
        {
            var why = await AskAsync(probe, cancellation);
            if (why is not null && name != "Startup")
            {
                onUnhealthy($"{name} probe failed: {why}");
            }

            yield return (why is null, why ?? "");
        }
        while (await period.WaitForNextTickAsync(cancellation));
    }

    /// <summary>Asks once.</summary>
    /// <returns>Why the probe failed; null where it passed.</returns>
    private async Task<string?> AskAsync(V1Probe probe, CancellationToken cancellation)
    {
        var patience = TimeSpan.FromSeconds(probe.TimeoutSeconds ?? 1);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        deadline.CancelAfter(patience);
        try
        {
            return probe switch
            {
                { HttpGet: { } get } => await GetAsync(get, deadline.Token),
                { TcpSocket: { } socket } => await ConnectAsync(Port(socket.Port.Value), deadline.Token),
                { Exec: { } exec } => await ExecuteAsync(exec.Command, patience, deadline.Token),
                _ => throw new NotPlayedException($"a probe of the container {container.Name} that is neither httpGet, tcpSocket nor exec"),
            };
        }
        catch (OperationCanceledException) when (!cancellation.IsCancellationRequested)
        {
            return $"no answer within {patience.TotalSeconds} s";
        }
        catch (Exception broken) when (broken is HttpRequestException or SocketException or IOException)
        {
            return broken.Message;
        }
    }

    private async Task<string?> GetAsync(V1HTTPGetAction get, CancellationToken cancellation)
    {
        var scheme = (get.Scheme ?? "HTTP").ToLowerInvariant();
        using var request = new HttpRequestMessage(HttpMethod.Get, $"{scheme}://{get.Host ?? address}:{Port(get.Port.Value)}{get.Path ?? "/"}");
        request.Headers.TryAddWithoutValidation("User-Agent", "kube-probe/1.30");
        foreach (var header in get.HttpHeaders ?? [])
        {
            request.Headers.TryAddWithoutValidation(header.Name, header.Value);
        }

        using var answer = await Http.SendAsync(request, cancellation);
        return (int)answer.StatusCode is >= 200 and < 400 ? null : $"{(int)answer.StatusCode}: {(await answer.Content.ReadAsStringAsync(cancellation)).Trim()}";
    }

    private async Task<string?> ConnectAsync(int port, CancellationToken cancellation)
    {
        using var client = new TcpClient();
        await client.ConnectAsync(address, port, cancellation);
        return null;
    }

    private async Task<string?> ExecuteAsync(IEnumerable<string> command, TimeSpan patience, CancellationToken cancellation)
    {
        var (code, output, error) = await Execution.RunAsync(container, pod, process, command, patience, cancellation);
        return code == 0 ? null : $"exit code {code}: {(output + error).Trim()}";
    }

    private int Port(string port) => Ruleset.Number(port, [pod]).Cast<int?>().FirstOrDefault() ?? throw new NotPlayedException($"a probe of the unknown port {port}");
}
