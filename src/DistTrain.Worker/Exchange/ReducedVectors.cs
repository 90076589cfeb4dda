using DistTrain.Core.Layouts;
using DistTrain.Training.Native;

namespace DistTrain.Worker.Exchange;

/// <summary>Where an all-reduce puts its result; kept by the worker until the next one is whole, and as long as somebody reads it.</summary>
/// <param name="values">The sum of all gradients; empty for an evaluation.</param>
/// <param name="tileSquares">Sum of squares of each tile of <paramref name="values"/>.</param>
internal sealed class ReducedVector(NativeVector values, double[] tileSquares)
{
    private int _readers;

    /// <summary>The sum of all gradients; empty for an evaluation.</summary>
    public NativeVector Values => values;

    /// <summary>Sum of squares of each tile of <see cref="Values"/>.</summary>
    public double[] TileSquares => tileSquares;

    /// <summary>What the own shard is folded in.</summary>
    public ChunkFolds Folds { get; } = new();

    /// <summary>Whether it must stay as it is.</summary>
    public bool IsRead => Volatile.Read(ref _readers) > 0;

    /// <summary>Somebody is going to read it.</summary>
    public void AddReader() => Interlocked.Increment(ref _readers);

    /// <summary>Somebody has read it.</summary>
    public void Release() => Interlocked.Decrement(ref _readers);
}

/// <summary>
/// The reduced vectors of a worker: two, in turns, because a peer may still be sent this worker's part of one while the next arrives. Where a joiner that is being
/// fed still reads the one that is due, another takes its place.
/// </summary>
/// <param name="create">Makes one; where the system has no memory for it, that is tried again when one is wanted again.</param>
internal sealed class ReducedVectors(Func<ReducedVector> create) : IDisposable
{
    private readonly ReducedVector[] _slots = [create(), create()];
    private readonly List<ReducedVector> _spares = [];
    private readonly Lock _lock = new();
    private Task<ReducedVector>? _coming;

    /// <summary>Vectors of a layout.</summary>
    public ReducedVectors(ParameterLayout layout)
        : this(() => new ReducedVector(new NativeVector(layout.Count), new double[layout.Tiles.Count]))
    {
    }

    /// <summary>The one that an operation is, or was, reduced into.</summary>
    public ReducedVector Of(ulong operation) => _slots[operation % 2];

    /// <summary>Somebody begins to read them: another is likely to be needed, and its memory is taken ahead of that.</summary>
    public void Prepare()
    {
        lock (_lock)
        {
            _coming ??= Task.Run(create);
        }
    }

    /// <summary>The one that an operation is going to be reduced into, which nobody reads.</summary>
    /// <param name="operation">The operation.</param>
    /// <param name="isFeeding">Whether a joiner is being fed; without one, no more memory is kept than the two take.</param>
    public async Task<ReducedVector> TakeAsync(ulong operation, bool isFeeding)
    {
        if (!Of(operation).IsRead)
        {
            if (!isFeeding)
            {
                await TrimAsync();
            }

            return Of(operation);
        }

        var free = _spares.Find(s => !s.IsRead);
        if (free is not null)
        {
            _spares.Remove(free);
        }
        else
        {
            Prepare();
            var coming = _coming!;
            _coming = null;
            free = await coming;
        }

        _spares.Add(Of(operation));
        return _slots[operation % 2] = free;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (var vector in _slots.Concat(_spares))
        {
            vector.Values.Dispose();
        }

        // One that is still being made frees itself when nobody holds it any more.
        _coming = null;
    }

    private async Task TrimAsync()
    {
        foreach (var spare in _spares.Where(s => !s.IsRead).ToList())
        {
            _spares.Remove(spare);
            spare.Values.Dispose();
        }

        if (_coming is { } coming)
        {
            _coming = null;
            await ((Task)coming).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (coming.IsCompletedSuccessfully)
            {
                (await coming).Values.Dispose();
            }
        }
    }
}
