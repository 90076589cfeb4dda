using System.Runtime.CompilerServices;
using System.Threading.Channels;
using DistTrain.Core.Membership;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>The coordinator's way to one worker.</summary>
internal sealed class WorkerConnection(int worker)
{
    private const ulong Always = ulong.MaxValue;

    private readonly Channel<Queued> _messages = Channel.CreateUnbounded<Queued>(new UnboundedChannelOptions { SingleReader = true });

    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private ulong _generation;
    private volatile bool _isAdmitted;

    /// <summary>The members as the worker was last told them. What was left out, it was not told.</summary>
    private MemberList _told = MemberList.None;

    /// <summary>The worker's id.</summary>
    public int Worker => worker;

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
    public void Admit(CoordinatorMessage welcome) => _isAdmitted = _messages.Writer.TryWrite(new Queued(welcome, null, Always));

    /// <summary>Queues a message.</summary>
    public void Send(CoordinatorMessage message) => _messages.Writer.TryWrite(new Queued(message, null, Always));

    /// <summary>Queues a message that matters in one generation only, not below those before.</summary>
    public void Send(CoordinatorMessage message, ulong generation) => Send(new Queued(message, null, generation));

    /// <summary>Queues who the members of a generation are; from which list it goes out is decided when it is sent.</summary>
    public void Send(MembershipNews news) => Send(new Queued(null, news, news.List.Generation));

    /// <summary>Queues the last message.</summary>
    public void Close(CoordinatorMessage last)
    {
        Send(last);
        _messages.Writer.TryComplete();
    }

    private void Send(Queued queued)
    {
        Volatile.Write(ref _generation, queued.Generation);
        _messages.Writer.TryWrite(queued);
    }

    private CoordinatorMessage? Next()
    {
        while (_messages.Reader.TryRead(out var next))
        {
            if (next.Generation < Volatile.Read(ref _generation))
            {
                continue;
            }

            if (next.News is not { } news)
            {
                return next.Message;
            }

            var message = news.Since(_told);
            _told = news.List;
            return message;
        }

        return null;
    }

    /// <summary>A message, or who the members are, and the generation below which it is void.</summary>
    private readonly record struct Queued(CoordinatorMessage? Message, MembershipNews? News, ulong Generation);
}
