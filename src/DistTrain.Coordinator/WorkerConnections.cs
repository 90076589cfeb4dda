using DistTrain.Core.Membership;
using DistTrain.Protocol.V1;

namespace DistTrain.Coordinator;

/// <summary>The ways to all workers. Every message carries the run and the coordinator's term.</summary>
internal sealed class WorkerConnections(ulong run, ulong term)
{
    /// <summary>So that people can tell the workers of one term from those of the next.</summary>
    private const int WorkersPerTerm = 1000;

    private readonly Dictionary<int, WorkerConnection> _connections = [];
    private int _last = (int)(((term - 1) * WorkersPerTerm) % int.MaxValue) - 1;

    /// <summary>A new worker's way out; its id is never used twice.</summary>
    public WorkerConnection Connect()
    {
        lock (_connections)
        {
            var connection = new WorkerConnection(++_last);
            _connections.Add(connection.Worker, connection);
            return connection;
        }
    }

    /// <summary>Forgets a worker's way out.</summary>
    public void Disconnect(WorkerConnection connection)
    {
        lock (_connections)
        {
            _connections.Remove(connection.Worker);
        }

        connection.End();
    }

    /// <summary>A worker's way out; null where it is gone.</summary>
    public WorkerConnection? Find(int worker)
    {
        lock (_connections)
        {
            return _connections.GetValueOrDefault(worker);
        }
    }

    /// <summary>Whether a worker may move states: it was let in and is still here.</summary>
    public bool IsAdmitted(int worker) => Find(worker) is { IsAdmitted: true };

    /// <summary>Lets a worker in, if it is still here. The welcome is the first that it hears: what goes to everyone who was let in comes from other threads, too.</summary>
    public void Admit(int worker, CoordinatorMessage welcome) => Find(worker)?.Admit(Tag(welcome));

    /// <summary>Sends to one worker, if it is still here.</summary>
    public void Send(int worker, CoordinatorMessage message) => Find(worker)?.Send(Tag(message));

    /// <summary>Tells the members of a generation who they are: each what has changed since the list that it was told last.</summary>
    public void Tell(MemberList list)
    {
        var news = new MembershipNews(list, message => Tag(message).Encode());
        foreach (var member in list.Members)
        {
            Find(member.Worker)?.Send(news);
        }
    }

    /// <summary>Sends the same to the members of a generation, to whom it matters as long as there is no newer one.</summary>
    public void Send(ulong generation, IEnumerable<int> members, CoordinatorMessage message)
    {
        var encoded = Tag(message).Encode();
        foreach (var worker in members)
        {
            Find(worker)?.Send(encoded, generation);
        }
    }

    /// <summary>Sends the same to everyone who was let in.</summary>
    public void SendToAdmitted(CoordinatorMessage message)
    {
        var encoded = Tag(message).Encode();
        foreach (var connection in All().Where(c => c.IsAdmitted))
        {
            connection.Send(encoded);
        }
    }

    /// <summary>Sends a worker its last message.</summary>
    public void Close(int worker, CoordinatorMessage last) => Find(worker)?.Close(Tag(last));

    /// <summary>Sends everyone the last message.</summary>
    public void CloseAll(CoordinatorMessage last)
    {
        var encoded = Tag(last).Encode();
        foreach (var connection in All())
        {
            connection.Close(encoded);
        }
    }

    /// <summary>Waits until every worker has ended its call, as it does when it was dismissed; for one that does not, a bounded time.</summary>
    public async Task DrainAsync(TimeSpan patience, TimeProvider time) =>
        await Task.WhenAny(Task.WhenAll(All().Select(c => c.Ended)), Task.Delay(patience, time));

    private List<WorkerConnection> All()
    {
        lock (_connections)
        {
            return [.. _connections.Values];
        }
    }

    private CoordinatorMessage Tag(CoordinatorMessage message)
    {
        (message.Run, message.Term) = (run, term);
        return message;
    }
}
