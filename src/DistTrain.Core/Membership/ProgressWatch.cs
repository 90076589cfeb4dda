namespace DistTrain.Core.Membership;

/// <summary>Finds members that live but do not get on: their heartbeats come, and say of the same block again and again that it is not done.</summary>
/// <remarks>
/// Only computing is watched. Who has done all its blocks waits for others, and who has not begun an operation may be kept from it by others, too; that another member is
/// in the way is found at that one. First blocks are exempt: nobody knows how long they may take.
/// </remarks>
/// <param name="least">The least time in which a block has to be done.</param>
public sealed class ProgressWatch(TimeSpan least)
{
    /// <summary>How many times its expected time a block may take.</summary>
    public const int Patience = 5;

    private readonly Dictionary<int, Course> _courses = [];

    /// <summary>Forgets everything: a new generation begins.</summary>
    public void Restart() => _courses.Clear();

    /// <summary>A member was given an operation.</summary>
    /// <param name="worker">The member.</param>
    /// <param name="operation">The operation, above those it was given before.</param>
    /// <param name="blocks">How many of its blocks it computes.</param>
    /// <param name="samplesPerBlock">Samples of one of them.</param>
    /// <param name="now">The time.</param>
    public void Issue(int worker, ulong operation, int blocks, double samplesPerBlock, TimeSpan now)
    {
        if (!_courses.TryGetValue(worker, out var course))
        {
            _courses.Add(worker, course = new Course());
        }

        course.Since = course.Work.Count == 0 ? now : course.Since;
        course.Work.Enqueue(new Work(operation, blocks, samplesPerBlock));
    }

    /// <summary>A member has completed an operation.</summary>
    public void Complete(int worker, ulong operation, TimeSpan now)
    {
        if (_courses.TryGetValue(worker, out var course))
        {
            while (course.Work.TryPeek(out var first) && first.Operation <= operation)
            {
                course.Work.Dequeue();
            }

            course.Since = now;
        }
    }

    /// <summary>A heartbeat says how far a member is.</summary>
    public void Hear(int worker, ulong operation, int blocksDone, TimeSpan now)
    {
        if (_courses.TryGetValue(worker, out var course) && course.Heard != (operation, blocksDone))
        {
            (course.Heard, course.Since) = ((operation, blocksDone), now);
        }
    }

    /// <summary>Whether a member is known to have completed a block of an operation in this generation.</summary>
    public bool HasBlocksOf(int worker, ulong operation) =>
        _courses.TryGetValue(worker, out var course) && course.Heard.Operation == operation && course.Heard.Blocks > 0;

    /// <summary>The time in which a member should have completed a block, and has not; null where there is nothing against it.</summary>
    /// <param name="worker">The member.</param>
    /// <param name="secondsPerSample">How long it may be expected to compute; null where nobody knows.</param>
    /// <param name="now">The time.</param>
    public TimeSpan? Overdue(int worker, double? secondsPerSample, TimeSpan now)
    {
        if (secondsPerSample is not { } seconds || !_courses.TryGetValue(worker, out var course) || !course.Work.TryPeek(out var work)
            || course.Heard.Operation != work.Operation || course.Heard.Blocks >= work.Blocks)
        {
            return null;
        }

        var allowed = TimeSpan.FromMilliseconds(Math.Ceiling(Math.Min(Patience * 1000 * seconds * work.SamplesPerBlock, 1e12)));
        allowed = allowed > least ? allowed : least;
        return now - course.Since > allowed ? allowed : null;
    }

    /// <summary>What a member was given and has not completed, in order, and when it last got on.</summary>
    private sealed class Course
    {
        public Queue<Work> Work { get; } = [];

        public (ulong Operation, int Blocks) Heard { get; set; }

        public TimeSpan Since { get; set; }
    }

    private readonly record struct Work(ulong Operation, int Blocks, double SamplesPerBlock);
}
