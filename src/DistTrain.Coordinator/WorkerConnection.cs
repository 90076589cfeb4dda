using System.Runtime.CompilerServices;
using System.Threading.Channels;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>The coordinator's way to one worker.</summary>
internal sealed class WorkerConnection(int worker)
{
    private const ulong Always = ulong.MaxValue;

    private readonly Channel<(CoordinatorMessage Message, ulong Generation)> _messages =
        Channel.CreateUnbounded<(CoordinatorMessage, ulong)>(new UnboundedChannelOptions { SingleReader = true });

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _generation;
    private volatile bool _isAdmitted;

    /// <summary>The worker's id.</summary>
    public int Worker => worker;

    /// <summary>Where its peers reach it.</summary>
    public string Address { get; set; } = "";

    /// <summary>Its number where a launcher gave one, else -1.</summary>
    public int Number { get; set; } = -1;

    /// <summary>Whether it was let in.</summary>
    public bool IsAdmitted => _isAdmitted;

    /// <summary>Completes when the call is over.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Says that the call is over.</summary>
    public void End() => _ended.TrySetResult();

    /// <summary>
    /// What is to be sent, in order, until closed; and whether more is there already. What a newer generation has made void is left out: where many members are lost at once, each loss
    /// has a generation of its own, and only the last one matters.
    /// </summary>
    public async IAsyncEnumerable<(CoordinatorMessage Message, bool IsFollowed)> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellation)
    {
        while (await _messages.Reader.WaitToReadAsync(cancellation))
        {
            for (var message = Next(); message is not null;)
            {
                var next = Next();
                yield return (message, next is not null);
                message = next;
            }
        }
    }

    /// <summary>Lets the worker in, if its welcome can be queued: ahead of that nobody may see it, as a heartbeat would come first.</summary>
    public void Admit(CoordinatorMessage welcome) => _isAdmitted = _messages.Writer.TryWrite((welcome, Always));

    /// <summary>Queues a message.</summary>
    public void Send(CoordinatorMessage message) => _messages.Writer.TryWrite((message, Always));

    /// <summary>Queues a message that matters in one generation only, not below those before.</summary>
    public void Send(CoordinatorMessage message, ulong generation)
    {
        Volatile.Write(ref _generation, generation);
        _messages.Writer.TryWrite((message, generation));
    }

    /// <summary>Queues the last message.</summary>
    public void Close(CoordinatorMessage last)
    {
        Send(last);
        _messages.Writer.TryComplete();
    }

    private CoordinatorMessage? Next()
    {
        while (_messages.Reader.TryRead(out var next))
        {
            if (next.Generation >= Volatile.Read(ref _generation))
            {
                return next.Message;
            }
        }

        return null;
    }
}
