using DistTrain.Coordinator;
using DistTrain.Core.Membership;
using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests;

/// <summary>What a worker is sent, of all that it was to be sent.</summary>
public sealed class WorkerConnectionTests
{
    private readonly WorkerConnections _connections = new(run: 7, term: 1);

    [Fact]
    public void What_a_newer_generation_has_made_void_is_not_sent_and_everything_else_is()
    {
        var connection = Connect();
        for (var generation = 1UL; generation <= 3; generation++)
        {
            _connections.Tell(List(generation, connection.Worker));
            _connections.Send(generation, [connection.Worker], new CoordinatorMessage { Plan = new Plan { Number = 10 * generation } });
            _connections.SendToAdmitted(new CoordinatorMessage { Heartbeat = new Heartbeat { Written = generation } });
        }

        _connections.CloseAll(new CoordinatorMessage { Dismissal = new Dismissal { Success = true } });
        var sent = connection.ReadAllAsync(TestContext.Current.CancellationToken).ToBlockingEnumerable(TestContext.Current.CancellationToken)
            .Select(s => (Message: Decode(s.Message), s.IsFollowed)).ToList();

        Assert.All(sent, s => Assert.Equal((7UL, 1UL), (s.Message.Run, s.Message.Term)));
        Assert.Equal(
            ["heartbeat 1", "heartbeat 2", "membership 3", "plan 30", "heartbeat 3", "dismissal"],
            sent.Select(s => s.Message.BodyCase switch
            {
                CoordinatorMessage.BodyOneofCase.Membership => $"membership {s.Message.Membership.Generation}",
                CoordinatorMessage.BodyOneofCase.Plan => $"plan {s.Message.Plan.Number}",
                CoordinatorMessage.BodyOneofCase.Heartbeat => $"heartbeat {s.Message.Heartbeat.Written}",
                _ => "dismissal",
            }));
        Assert.Equal([true, true, true, true, true, false], sent.Select(s => s.IsFollowed));
    }

    [Fact]
    public void A_worker_counts_as_let_in_by_its_welcome_being_queued()
    {
        var (closed, open) = (_connections.Connect(), _connections.Connect());
        closed.Close(new CoordinatorMessage { Refusal = new Refusal() });
        foreach (var worker in new[] { closed.Worker, open.Worker })
        {
            _connections.SendToAdmitted(new CoordinatorMessage { Heartbeat = new Heartbeat() });
            _connections.Admit(worker, new CoordinatorMessage { Welcome = new Welcome { Worker = worker } });
        }

        Assert.Equal([false, true], new[] { closed.Worker, open.Worker }.Select(_connections.IsAdmitted));
        Assert.Equal(CoordinatorMessage.BodyOneofCase.Welcome, Decode(Next(open)).BodyCase);
    }

    /// <summary>What was left out, nobody was told: the next change goes out from what was sent.</summary>
    [Fact]
    public void Who_was_not_told_of_a_generation_is_told_what_has_changed_since_the_one_before_it()
    {
        var (quick, slow, lost, left) = (Connect(), Connect(), Connect(), Connect());
        _connections.Tell(List(1, quick.Worker, slow.Worker, lost.Worker, left.Worker));
        Assert.Equal((0UL, "", "0 1 2 3"), Told(quick));
        Assert.Equal((0UL, "", "0 1 2 3"), Told(slow));

        _connections.Tell(List(2, quick.Worker, slow.Worker, left.Worker));
        Assert.Equal((1UL, "2", ""), Told(quick));

        var joiner = Connect();
        _connections.Tell(List(3, quick.Worker, slow.Worker, joiner.Worker));
        Assert.Equal((2UL, "2", "4"), Told(quick));
        Assert.Equal((1UL, "2 3", "4"), Told(slow));
        Assert.Equal((0UL, "", "0 1 4"), Told(joiner));

        // Who comes back has another connection, and nothing that a change could go out from.
        var back = Connect();
        _connections.Tell(List(4, slow.Worker, joiner.Worker, back.Worker));
        Assert.Equal((3UL, "0", "5"), Told(slow));
        Assert.Equal((0UL, "", "1 4 5"), Told(back));
    }

    [Fact]
    public void A_message_for_many_is_encoded_once_and_is_the_same_message()
    {
        var message = new CoordinatorMessage
        {
            Run = 1,
            Term = 2,
            Membership = new Membership { Generation = 3, Members = { Enumerable.Range(0, 1000).Select(i => new Member { Worker = i, Address = $"http://host{i}:1", Number = -1 }) } },
        };
        Assert.Equal(message, Decode(message.Encode()));

        var (one, other) = (Connect(), Connect());
        _connections.Send(3, [one.Worker, other.Worker], message);
        Assert.Same(Next(one), Next(other));
        _connections.Tell(List(4, one.Worker, other.Worker));
        Assert.Same(Next(one), Next(other));
        _connections.Tell(List(5, other.Worker, one.Worker));
        Assert.Same(Next(one), Next(other));
    }

    private static (ulong From, string Gone, string Came) Told(WorkerConnection connection)
    {
        var membership = Decode(Next(connection)).Membership;
        return (membership.From, string.Join(' ', membership.Gone), string.Join(' ', membership.Members.Select(m => m.Worker)));
    }

    private static CoordinatorMessage Next(WorkerConnection connection) =>
        connection.ReadAllAsync(TestContext.Current.CancellationToken).ToBlockingEnumerable(TestContext.Current.CancellationToken).First().Message;

    private static CoordinatorMessage Decode(CoordinatorMessage message) => CoordinatorMessage.Parser.ParseFrom(message.ToByteArray());

    private static MemberList List(ulong generation, params IEnumerable<int> workers) => new(generation, [.. workers.Select(w => new ListedMember(w, $"http://host{w}:1", -1))]);

    private WorkerConnection Connect()
    {
        var connection = _connections.Connect();
        _connections.Admit(connection.Worker, new CoordinatorMessage { Welcome = new Welcome { Worker = connection.Worker } });
        Assert.Equal(CoordinatorMessage.BodyOneofCase.Welcome, Decode(Next(connection)).BodyCase);
        return connection;
    }
}
