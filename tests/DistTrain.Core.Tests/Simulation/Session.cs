using DistTrain.Core.Membership;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A worker's connection to one coordinator, and the call by which it brings its state there.</summary>
internal sealed class Session
{
    private readonly SimulatedRun _run;
    private readonly Link<SimulatedCheckpoint> _upload;
    private long _uploading = -1;
    private ulong _newest;
    private MemberList _told = MemberList.None;

    public Session(SimulatedRun run, SimulatedWorker worker, SimulatedCoordinator coordinator)
    {
        (_run, Worker, Coordinator, Term) = (run, worker, coordinator, coordinator.Term);
        Up = new Link<object>(run, worker.Number, SimulatedNetwork.Coordinator, message => coordinator.Take(this, message), () => coordinator.Lose(this));
        Down = new Link<object>(run, SimulatedNetwork.Coordinator, worker.Number, Hand, () => worker.LoseSession(this));
        _upload = new Link<SimulatedCheckpoint>(run, worker.Number, SimulatedNetwork.Coordinator, Receive, EndUpload);
    }

    public SimulatedWorker Worker { get; }

    public SimulatedCoordinator Coordinator { get; }

    public ulong Term { get; }

    /// <summary>The worker's id; -1 before the coordinator has heard of it.</summary>
    public int Id { get; set; } = -1;

    /// <summary>Whether the worker was let in and is still here.</summary>
    public bool IsAdmitted { get; set; }

    /// <summary>Whether the worker has been given an operation.</summary>
    public bool IsSettled { get; set; }

    /// <summary>How often the worker was told to prepare, to keep or to learn, as far as it has read.</summary>
    public int Told { get; set; }

    /// <summary>Whether a state is on its way.</summary>
    public bool IsUploading => _uploading >= 0;

    /// <summary>When the worker last heard of the coordinator.</summary>
    public TimeSpan LastHeard { get; set; }

    /// <summary>The members as the worker knows them.</summary>
    public MemberList Members { get; set; } = MemberList.None;

    public Link<object> Up { get; }

    public Link<object> Down { get; }

    /// <summary>Sends what matters in one generation only.</summary>
    public void Send(Bound message)
    {
        _newest = message.Generation;
        Down.Send(message);
    }

    public void Upload(SimulatedCheckpoint checkpoint)
    {
        _uploading = checkpoint.Step;
        _upload.Send(checkpoint);
    }

    /// <summary>The worker's end is gone, at once or after what it has sent.</summary>
    public void EndAtWorker(bool inOrder)
    {
        Down.Drop();
        _upload.Break();
        if (inOrder)
        {
            Up.Close();
        }
        else
        {
            Up.Break();
        }
    }

    /// <summary>The coordinator's end is gone.</summary>
    public void EndAtCoordinator()
    {
        Up.Drop();
        _upload.Drop();
        Down.Break();
    }

    /// <summary>The connection is reset; both ends notice.</summary>
    public void Reset()
    {
        Up.Break();
        Down.Break();
        _upload.Break();
    }

    /// <summary>Hands the worker what comes. In one history of four, so that the others stay what they were, what a newer generation has made void is left out.</summary>
    private bool Hand(object message)
    {
        if (message is not Bound bound)
        {
            return Worker.Take(this, message);
        }

        var list = bound.Message as MemberList;
        if (bound.Generation < _newest && _run.Case.Seed % 4 == 1)
        {
            _run.Counts.LeftOut += list is null ? 0 : 1;
            _told = list is not null && _run.Case.Bug == PlantedBug.ChangeOfAnotherList ? list : _told;
            return true;
        }

        if (!Worker.Take(this, list is null ? bound.Message : list.Since(_told)))
        {
            return false;
        }

        _told = list ?? _told;
        return true;
    }

    private bool Receive(SimulatedCheckpoint checkpoint)
    {
        Coordinator.Receive(this, checkpoint);
        _uploading = -1;
        Worker.FinishUpload(this);
        return true;
    }

    private void EndUpload()
    {
        if (_uploading > 0 && _run.Random.Next(2) == 0 && _run.Disk.MayFail())
        {
            Coordinator.Post(new RunEvent.CheckpointFailed(Id, _uploading, "the connection broke"));
        }

        _uploading = -1;
        Worker.FinishUpload(this);
    }
}
