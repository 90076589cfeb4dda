using DistTrain.Core.Journals;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Membership;

/// <content>
/// The size of micro-batches where the configuration leaves it to the workers: each says which one suits its memory, and the smallest that a member of the first generation proposes is that of all. From
/// then on it is a fact of the run, as if the configuration had said so.
/// </content>
public sealed partial class RunMachine
{
    // Whether the configuration leaves it to the workers, also once they have found it.
    private readonly bool _isAuto;

    /// <summary>The configuration the run goes by, with the size of micro-batches once it is known.</summary>
    public RunOptions Options => _options;

    /// <summary>The size that a worker has to have memory for which goes on from a position; 0 where that is not asked, or not known yet.</summary>
    private int MicroInForce(CoursePosition position) =>
        _isAuto && !_options.Batch.IsAuto && _course!.Next(position) is var (operation, _)
            ? (int)Math.Min(operation.Geometry.Micro, Math.Min(_course.LargestBatch, _course.TrainingSamples))
            : 0;

    /// <summary>Sends away who has no memory for the run's micro-batches, and does not wait for one that proposes none.</summary>
    /// <returns>Whether it stays.</returns>
    private bool HasMemory(Member member, WorkerPreparation preparation)
    {
        if (_isAuto && _options.Batch.IsAuto && preparation.Proposal < 1)
        {
            Lose(member, "it proposes no size of micro-batches, and batch.micro is auto");
            return false;
        }

        var needed = MicroInForce(member.Stage == Stage.Learning ? _position : _positions[Math.Max(0, _publishedStep)]);
        if (preparation.Most < needed)
        {
            Turn(member, RefusalReason.Memory,
                $"A micro-batch of this run holds up to {needed} samples, and {(preparation.Most < 1 ? "not even one fits" : $"no more than {preparation.Most} fit")} its memory: "
                + "give it more, or raise memory.limit where that is set, and let it join again.");
            return false;
        }

        return true;
    }

    /// <summary>Settles the size, ahead of the first generation.</summary>
    private void ChooseMicroBatch(IReadOnlyList<Member> members)
    {
        if (!_options.Batch.IsAuto)
        {
            return;
        }

        var size = members.Min(m => m.Proposal);
        _effects.Add(new RunEffect.Write(new JournalEntry.MicroBatch(size)));
        GoBy(size);
        var proposals = members.Select(m => $"{m.Name} on {m.Hello.Host} proposes {m.Proposal}{(m.Most > m.Proposal ? $" and tried up to {m.Most}" : "")}");
        _effects.Add(new RunEffect.Announce("micro-batch",
            $"A micro-batch holds at most {size} samples, on every worker and to the end of the run: {string.Join("; ", proposals)}. The global batch stays {_options.Batch.Global}. "
            + $"A run with batch.micro={size} has the same bits."));
    }

    private void GoBy(int size)
    {
        _options = _options.WithMicro(size);
        _decider = new RunDecider(_options);
        _course = new RunCourse(_options, _reference!.TrainingSamples, _reference.ValidationSamples);
    }
}
