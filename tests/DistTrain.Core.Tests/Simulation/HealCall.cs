using DistTrain.Core.Membership;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Simulation;

/// <summary>A joiner's call to a member: a copy of the state comes back, then every operation that one applies. A joiner that falls too far behind is cut off.</summary>
internal sealed class HealCall
{
    private const int MostWaiting = 4;
    private const string FirstPart = "the first part of the state";

    private readonly SimulatedWorker _learner;
    private readonly SimulatedWorker _source;
    private readonly Link<object> _request;
    private readonly SimulatedRun _run;

    public HealCall(SimulatedRun run, SimulatedWorker learner, SimulatedWorker source)
    {
        (_run, _learner, _source) = (run, learner, source);
        _request = new Link<object>(run, learner.Number, source.Number, _ => Open(), () => { });
        Feed = new Link<object>(run, source.Number, learner.Number, Take, () => learner.EndCopy(this));
        _request.Send(this);
    }

    public SimulatedWorker Source => _source;

    public Link<object> Feed { get; }

    /// <summary>Sends the state, in two parts: it is written over the joiner's own as it comes.</summary>
    public void SendState(ulong applied, ulong weights)
    {
        Feed.Send(FirstPart);
        Feed.Send((applied, weights));
    }

    /// <summary>Sends an operation that was applied.</summary>
    /// <returns>Whether the joiner still follows.</returns>
    public bool Add(Operation operation, Gradient sum)
    {
        if (Feed.IsOver)
        {
            return false;
        }

        if (Feed.InFlight > MostWaiting)
        {
            Feed.Close();
            return false;
        }

        Feed.Send((operation, sum));
        return true;
    }

    /// <summary>The joiner hangs up.</summary>
    public void Cancel()
    {
        _request.Drop();
        Feed.Drop();
    }

    private bool Open()
    {
        if (_source is { IsAlive: true, OffersState: true })
        {
            _source.Executor.Feed(this);
        }
        else
        {
            Feed.Close();
        }

        return true;
    }

    private bool Take(object message)
    {
        if (message is FirstPart)
        {
            _learner.BeginCopy();
        }
        else if (message is (ulong applied, ulong weights))
        {
            _learner.FinishCopy(applied, weights);
            _run.Invariants.Copy(_learner, _source);
        }
        else if (message is (Operation operation, Gradient sum))
        {
            _run.Invariants.LearnersMissNothing(_learner, operation.Number);
            _learner.Executor.Follow(operation, sum);
            _run.Invariants.Copy(_learner, _source);
            _learner.Answer(new RunEvent.Learned(_learner.Session!.Id, operation.Number));
        }

        return true;
    }
}
