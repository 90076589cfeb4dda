using System.Threading.Channels;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>The coordinator's way to one worker.</summary>
internal sealed class WorkerConnection(int worker)
{
    private readonly Channel<CoordinatorMessage> _messages =
        Channel.CreateUnbounded<CoordinatorMessage>(new UnboundedChannelOptions { SingleReader = true });

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>The worker's id.</summary>
    public int Worker => worker;

    /// <summary>Where its peers reach it.</summary>
    public string Address { get; set; } = "";

    /// <summary>Its number where a launcher gave one, else -1.</summary>
    public int Number { get; set; } = -1;

    /// <summary>Whether it was let in.</summary>
    public bool IsAdmitted { get; set; }

    /// <summary>What is to be sent, in order, until closed.</summary>
    public ChannelReader<CoordinatorMessage> Messages => _messages.Reader;

    /// <summary>Completes when the call is over.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Says that the call is over.</summary>
    public void End() => _ended.TrySetResult();

    /// <summary>Queues a message.</summary>
    public void Send(CoordinatorMessage message) => _messages.Writer.TryWrite(message);

    /// <summary>Queues the last message.</summary>
    public void Close(CoordinatorMessage last)
    {
        _messages.Writer.TryWrite(last);
        _messages.Writer.TryComplete();
    }
}
