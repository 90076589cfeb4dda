namespace DistTrain.Coordinator;

/// <summary>
/// The lines of steps and evaluations, one each: what is computed again after a return to a checkpoint has the same bits, and its line already. They are made durable
/// off the step path; workers keep their reports until then.
/// </summary>
internal sealed class StepLines
{
    /// <summary>So many lines may wait before they are made durable out of turn: workers wait at 64.</summary>
    private const int MostWaiting = 16;

    private readonly RunFolder _folder;
    private readonly RunLedger _ledger;
    private readonly Action<ulong> _written;
    private readonly StepNoise _noise;
    private readonly Lock _flushing = new();
    private Dictionary<long, string> _knownSteps;
    private HashSet<long> _knownEvaluations;
    private ulong _appended;
    private ulong _durable;
    private int _isFlushing;

    /// <summary>The lines of a run.</summary>
    /// <param name="folder">Where they go.</param>
    /// <param name="ledger">What adds them up.</param>
    /// <param name="lines">Those there are.</param>
    /// <param name="from">The step behind which some may be computed again.</param>
    /// <param name="noise">What keeps the noise scale of the steps.</param>
    /// <param name="written">Told of the last operation whose line is durable.</param>
    public StepLines(RunFolder folder, RunLedger ledger, RecordedLines lines, long from, StepNoise noise, Action<ulong> written)
    {
        (_folder, _ledger, _noise, _written) = (folder, ledger, noise, written);
        (_knownSteps, _knownEvaluations) = Known(lines, from);
        ledger.Restore(lines);
        noise.Restore(lines.Steps);
    }

    /// <summary>The run goes back to a step.</summary>
    public void GoBack(long step)
    {
        var lines = RecordedLines.Read(_folder.Path);
        (_knownSteps, _knownEvaluations) = Known(lines, step);
        _noise.Restore(lines.Steps.TakeWhile(s => s.Step <= step));
    }

    /// <summary>Adds a step that does not have its line yet.</summary>
    /// <returns>The hash of the weights that it had before, where that is another one; then the new line counts.</returns>
    public string? Add(ulong operation, StepRecord step)
    {
        _knownSteps.Remove(step.Step, out var before);
        if (before != step.WeightsHash)
        {
            _folder.Append(step);
            _ledger.Add(step);
        }

        Note(operation);
        return before == step.WeightsHash ? null : before;
    }

    /// <summary>Adds an evaluation that does not have its line yet.</summary>
    public void Add(ulong operation, EvaluationRecord evaluation)
    {
        if (!_knownEvaluations.Remove(evaluation.Step))
        {
            _folder.Append(evaluation);
            _ledger.Add(evaluation);
        }

        Note(operation);
    }

    /// <summary>The last operation whose line is durable.</summary>
    public ulong Durable => Volatile.Read(ref _durable);

    /// <summary>Makes lines durable beside everything else: a slow disk must not look like a coordinator that is gone.</summary>
    public void BeginFlush()
    {
        if (Volatile.Read(ref _appended) != Durable && Interlocked.Exchange(ref _isFlushing, 1) == 0)
        {
            _ = Task.Run(() =>
            {
                _written(Flush());
                Volatile.Write(ref _isFlushing, 0);
            });
        }
    }

    /// <summary>Makes every line so far durable, where the disk lets it.</summary>
    /// <returns>The last operation whose line is.</returns>
    public ulong Flush()
    {
        lock (_flushing)
        {
            var appended = Volatile.Read(ref _appended);
            if (appended != _durable)
            {
                try
                {
                    _folder.FlushSteps();
                    Volatile.Write(ref _durable, appended);
                }
                catch (IOException)
                {
                    // The workers keep their reports until it works.
                }
            }

            return _durable;
        }
    }

    private void Note(ulong operation)
    {
        Volatile.Write(ref _appended, operation);
        if (operation - Durable is > MostWaiting and < long.MaxValue)
        {
            BeginFlush();
        }
    }

    private static (Dictionary<long, string> Steps, HashSet<long> Evaluations) Known(RecordedLines lines, long from) => (
        lines.Steps.Where(s => s.Step > from).ToDictionary(s => s.Step, s => s.WeightsHash),
        lines.Evaluations.Where(e => e.Step >= from).Select(e => e.Step).ToHashSet());
}
