using DistTrain.Coordinator;
using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Cluster.Tests;

/// <summary>What a worker is sent, of all that it was to be sent.</summary>
public sealed class WorkerConnectionTests
{
    [Fact]
    public async Task What_a_newer_generation_has_made_void_is_not_sent_and_everything_else_is()
    {
        var connections = new WorkerConnections(run: 7, term: 2);
        var connection = connections.Connect();
        connections.Admit(connection.Worker, new CoordinatorMessage { Welcome = new Welcome { Worker = connection.Worker } });
        for (var generation = 1UL; generation <= 3; generation++)
        {
            connections.Send(generation, [connection.Worker], new CoordinatorMessage { Membership = new Membership { Generation = generation } });
            connections.Send(generation, [connection.Worker], new CoordinatorMessage { Plan = new Plan { Number = 10 * generation } });
            connections.SendToAdmitted(new CoordinatorMessage { Heartbeat = new Heartbeat { Written = generation } });
        }

        connections.CloseAll(new CoordinatorMessage { Dismissal = new Dismissal { Success = true } });
        var sent = new List<(CoordinatorMessage Message, bool IsFollowed)>();
        await foreach (var (message, isFollowed) in connection.ReadAllAsync(TestContext.Current.CancellationToken))
        {
            sent.Add((CoordinatorMessage.Parser.ParseFrom(message.ToByteArray()), isFollowed));
        }

        Assert.All(sent, s => Assert.Equal((7UL, 2UL), (s.Message.Run, s.Message.Term)));
        Assert.Equal(
            ["welcome", "heartbeat 1", "heartbeat 2", "membership 3", "plan 30", "heartbeat 3", "dismissal"],
            sent.Select(s => s.Message.BodyCase switch
            {
                CoordinatorMessage.BodyOneofCase.Membership => $"membership {s.Message.Membership.Generation}",
                CoordinatorMessage.BodyOneofCase.Plan => $"plan {s.Message.Plan.Number}",
                CoordinatorMessage.BodyOneofCase.Heartbeat => $"heartbeat {s.Message.Heartbeat.Written}",
                CoordinatorMessage.BodyOneofCase.Welcome => "welcome",
                _ => "dismissal",
            }));
        Assert.Equal([true, true, true, true, true, true, false], sent.Select(s => s.IsFollowed));
    }

    [Fact]
    public void A_worker_counts_as_let_in_by_its_welcome_being_queued()
    {
        var connections = new WorkerConnections(run: 7, term: 2);
        var (closed, open) = (connections.Connect(), connections.Connect());
        closed.Close(new CoordinatorMessage { Refusal = new Refusal() });
        foreach (var worker in new[] { closed.Worker, open.Worker })
        {
            connections.SendToAdmitted(new CoordinatorMessage { Heartbeat = new Heartbeat() });
            connections.Admit(worker, new CoordinatorMessage { Welcome = new Welcome { Worker = worker } });
        }

        Assert.Equal([false, true], new[] { closed.Worker, open.Worker }.Select(connections.IsAdmitted));
        connections.CloseAll(new CoordinatorMessage { Dismissal = new Dismissal { Success = true } });
        Assert.Equal(
            CoordinatorMessage.BodyOneofCase.Welcome,
            open.ReadAllAsync(TestContext.Current.CancellationToken).ToBlockingEnumerable(TestContext.Current.CancellationToken).First().Message.BodyCase);
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
        Assert.Equal(message, CoordinatorMessage.Parser.ParseFrom(message.Encode().ToByteArray()));

        var connections = new WorkerConnections(run: 1, term: 2);
        var (one, other) = (connections.Connect(), connections.Connect());
        connections.Send(3, [one.Worker, other.Worker], message);
        Assert.Same(Next(one), Next(other));

        static CoordinatorMessage Next(WorkerConnection connection) =>
            connection.ReadAllAsync(TestContext.Current.CancellationToken).ToBlockingEnumerable(TestContext.Current.CancellationToken).First().Message;
    }
}
