using DistTrain.Core.Membership;
using Grpc.Core;

namespace DistTrain.Worker.Healing;

/// <summary>Where joiners ask for the state: open while this worker has one.</summary>
internal sealed class StateSource
{
    private volatile Offer? _offer;

    /// <summary>How long a joiner may take nothing of what it is sent.</summary>
    public TimeSpan Patience { get; set; } = Timeouts.Default.Stuck;

    /// <summary>Offers a state.</summary>
    /// <param name="run">The run it belongs to.</param>
    /// <param name="open">Copies it.</param>
    public void Set(ulong run, Func<Task<StateFeed>> open) => _offer = new Offer(run, open);

    /// <summary>Ends the offer.</summary>
    public void Clear() => _offer = null;

    /// <summary>Begins to feed a joiner.</summary>
    /// <exception cref="RpcException">There is no state of that run here.</exception>
    public Task<StateFeed> OpenAsync(ulong run) =>
        _offer is { } offer && offer.Run == run
            ? offer.Open()
            : throw new RpcException(new Status(StatusCode.FailedPrecondition, $"This worker has no state of run {run:x16}."));

    private sealed record Offer(ulong Run, Func<Task<StateFeed>> Open);
}
