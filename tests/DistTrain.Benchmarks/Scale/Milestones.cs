using System.Collections.Concurrent;
using System.Diagnostics;
using DistTrain.Protocol.V1;

namespace DistTrain.Benchmarks.Scale;

/// <summary>What has reached how many workers, and when the last of them.</summary>
internal sealed class Milestones
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(2);
    private readonly ConcurrentDictionary<(CoordinatorMessage.BodyOneofCase Kind, ulong Generation, ulong Number), Milestone> _all = new();
    private readonly TaskCompletionSource<long> _failed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>One more worker has a message, whole.</summary>
    public void Note(CoordinatorMessage.BodyOneofCase kind, ulong generation, ulong number) => Of(kind, generation, number).Arrive();

    /// <summary>Nothing that is waited for will come.</summary>
    public void Fail(Exception why) => _failed.TrySetException(why);

    /// <summary>When so many workers had a message.</summary>
    /// <exception cref="TimeoutException">They did not get it.</exception>
    public async Task<long> ReachedAsync(CoordinatorMessage.BodyOneofCase kind, ulong generation, ulong number, int workers)
    {
        var milestone = Of(kind, generation, number);
        try
        {
            return await await Task.WhenAny(milestone.Await(workers), _failed.Task).WaitAsync(Patience);
        }
        catch (TimeoutException)
        {
            throw new TimeoutException($"{kind} {number} of generation {generation} reached {milestone.Count} of {workers} workers in {Patience.TotalSeconds} s.");
        }
    }

    /// <summary>How many workers have a message.</summary>
    public int Count(CoordinatorMessage.BodyOneofCase kind, ulong generation, ulong number) => Of(kind, generation, number).Count;

    private Milestone Of(CoordinatorMessage.BodyOneofCase kind, ulong generation, ulong number) => _all.GetOrAdd((kind, generation, number), _ => new Milestone());

    private sealed class Milestone
    {
        private readonly Lock _lock = new();
        private readonly List<long> _arrivals = [];
        private (int Count, TaskCompletionSource<long> Reached)? _awaited;

        public int Count
        {
            get
            {
                lock (_lock)
                {
                    return _arrivals.Count;
                }
            }
        }

        public void Arrive()
        {
            lock (_lock)
            {
                _arrivals.Add(Stopwatch.GetTimestamp());
                if (_awaited is var (count, reached) && _arrivals.Count == count)
                {
                    reached.TrySetResult(_arrivals[^1]);
                }
            }
        }

        public Task<long> Await(int count)
        {
            lock (_lock)
            {
                if (_arrivals.Count >= count)
                {
                    return Task.FromResult(_arrivals[count - 1]);
                }

                _awaited = (count, new TaskCompletionSource<long>(TaskCreationOptions.RunContinuationsAsynchronously));
                return _awaited.Value.Reached.Task;
            }
        }
    }
}
