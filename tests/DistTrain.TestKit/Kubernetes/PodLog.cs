namespace DistTrain.TestKit.Kubernetes;

/// <summary>What a container has written so far, to be read and followed. Safe to use from several threads.</summary>
public sealed class PodLog
{
    private readonly Lock _gate = new();
    private readonly List<string> _lines = [];
    private TaskCompletionSource _more = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Whether nothing more comes.</summary>
    public bool IsClosed { get; private set; }

    /// <summary>Writes a line.</summary>
    public void Write(string line)
    {
        lock (_gate)
        {
            _lines.Add(line);
            Wake();
        }
    }

    /// <summary>The container has ended.</summary>
    public void Close()
    {
        lock (_gate)
        {
            IsClosed = true;
            Wake();
        }
    }

    /// <summary>The lines, the last ones only where so many are asked for, and, to whoever follows, those to come.</summary>
    public async IAsyncEnumerable<string> ReadAsync(
        int? tail, bool follow, [System.Runtime.CompilerServices.EnumeratorCancellation] CancellationToken cancellation)
    {
        var next = tail is { } last ? Math.Max(Count() - last, 0) : 0;
        while (true)
        {
            string[] lines;
            Task more;
            bool over;
            lock (_gate)
            {
                lines = [.. _lines.Skip(next)];
                (more, over) = (_more.Task, IsClosed || !follow);
            }

            foreach (var line in lines)
            {
                yield return line;
            }

            next += lines.Length;
            if (over)
            {
                yield break;
            }

            await more.WaitAsync(cancellation);
        }
    }

    private int Count()
    {
        lock (_gate)
        {
            return _lines.Count;
        }
    }

    private void Wake()
    {
        _more.TrySetResult();
        _more = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
