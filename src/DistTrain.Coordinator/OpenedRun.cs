using System.Buffers.Binary;
using System.Globalization;
using System.Security.Cryptography;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.Core;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;

namespace DistTrain.Coordinator;

/// <summary>A run that cannot be begun or resumed, with the reason and the remedy.</summary>
internal sealed class ResumeException(string sentence) : Exception(sentence);

/// <summary>A run as its folder tells of it, in the hands of this coordinator alone: a new one, or one that another coordinator has begun.</summary>
internal sealed class OpenedRun : IDisposable
{
    private OpenedRun(ulong id, ulong term, Journal journal, RunFolder folder, CheckpointStore checkpoints)
    {
        (Id, Term, Journal, Folder, Checkpoints) = (id, term, journal, folder, checkpoints);
    }

    /// <summary>The run's id.</summary>
    public ulong Id { get; }

    /// <summary>Raised at every start of the coordinator, from 1.</summary>
    public ulong Term { get; }

    /// <summary>Where decisions go.</summary>
    public Journal Journal { get; }

    /// <summary>Where people look.</summary>
    public RunFolder Folder { get; }

    /// <summary>Where states are kept.</summary>
    public CheckpointStore Checkpoints { get; }

    /// <summary>What is known of the run; null for a new one.</summary>
    public RunMemory? Memory { get; private init; }

    /// <summary>The lines of its steps and evaluations.</summary>
    public required RecordedLines Lines { get; init; }

    /// <summary>How it ended, where nothing is left to do; else null.</summary>
    public RunOutcome? Ended { get; private init; }

    /// <summary>What people should know, in sentences.</summary>
    public IReadOnlyList<string> Remarks { get; private init; } = [];

    /// <summary>Opens a run's folder.</summary>
    /// <exception cref="JournalException">Another coordinator owns it, or its journal is damaged.</exception>
    /// <exception cref="ResumeException">It cannot be gone on with, or not with this configuration.</exception>
    /// <exception cref="IOException">The folder cannot be read or written.</exception>
    public static OpenedRun Open(CoordinatorSettings settings, TimeProvider time)
    {
        var journal = Journal.Open(settings.Folder, settings.Disk);
        RunFolder? folder = null;
        try
        {
            var (id, term) = Identify(journal, settings);
            var scan = CheckpointStore.Open(Path.Combine(settings.Folder, "checkpoints"), settings.Options.Checkpoint.Keep, settings.Disk);
            folder = new RunFolder(settings.Folder, time, settings.Disk);
            var lines = RecordedLines.Read(settings.Folder);
            var memory = term == 1 ? null : Remember([.. journal.Entries, new JournalEntry.Term(term, OptionsReader.Write(settings.Options))], lines, scan, settings);
            var reached = EndReached(memory, settings);
            memory = reached is null ? memory : memory! with { Decisions = [.. memory.Decisions, reached] };
            var ended = Ending(journal.Entries, settings);
            if (ended is null)
            {
                // What an earlier coordinator summed up is not the end of it.
                File.Delete(RunFolder.SummaryIn(settings.Folder));
                Write(journal, new JournalEntry.Term(term, OptionsReader.Write(settings.Options)));
                if (reached is not null)
                {
                    Write(journal, new JournalEntry.Decision(reached));
                }
            }

            return new OpenedRun(id, term, journal, folder, scan.Store)
            {
                Memory = memory,
                Lines = lines,
                Ended = ended,
                Remarks = scan.Refused,
            };
        }
        catch
        {
            folder?.Dispose();
            journal.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Folder.Dispose();
        Journal.Dispose();
    }

    private static (ulong Id, ulong Term) Identify(Journal journal, CoordinatorSettings settings)
    {
        if (journal.Entries.Count == 0)
        {
            if (new FileInfo(Path.Combine(settings.Folder, "metrics.jsonl")) is { Exists: true, Length: > 0 })
            {
                throw new ResumeException($"The journal {Journal.PathIn(settings.Folder)} is empty, and {settings.Folder} holds steps of a run: restore the journal, or name another folder.");
            }

            var id = BinaryPrimitives.ReadUInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(ulong)));
            Write(journal, new JournalEntry.Run(id.ToString("x16", CultureInfo.InvariantCulture), ProgramIdentity.Version));
            return (id, 1);
        }

        if (!settings.Resume)
        {
            throw new ResumeException($"{settings.Folder} holds a run already: --resume goes on with it, another folder begins a new one.");
        }

        if (journal.Entries[0] is not JournalEntry.Run run || !ulong.TryParse(run.Id, NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var known))
        {
            throw new ResumeException($"The journal {Journal.PathIn(settings.Folder)} does not begin with a run: it is not one of this program.");
        }

        var last = journal.Entries.OfType<JournalEntry.Term>().LastOrDefault();
        var problems = last is null ? [] : ResumeRules.Check(last.Configuration, settings.Options).ToList();
        return problems.Count == 0
            ? (known, (last?.Number ?? 0) + 1)
            : throw new ResumeException($"The run in {settings.Folder} cannot be resumed with this configuration. {string.Join(" ", problems)}");
    }

    private static RunMemory Remember(IReadOnlyList<JournalEntry> entries, RecordedLines lines, CheckpointScan scan, CoordinatorSettings settings)
    {
        var memory = RunMemory.Of(entries);
        var steps = lines.Steps.ToList();
        var recorded = steps.Count == 0 ? 0 : steps[^1].Step;
        if (memory.CourseOf(settings.Options) is { TotalSteps: var total } && total < recorded)
        {
            throw TooShort(settings, recorded, total);
        }

        return memory with
        {
            RecordedStep = recorded,
            Losses = lines.Evaluations.ToDictionary(e => e.Step, e => e.Loss ?? double.NaN),
            Moments = steps.Where(s => s.Noise is not null).ToDictionary(s => s.Step, s => s.Noise!.Moments(s.GlobalBatch)),
            Skipped = steps.AsEnumerable().Reverse().TakeWhile(s => s.Skipped).Count(),
            Checkpoint = Choose(scan, memory.PromisesSameBits ? steps.ToDictionary(s => s.Step, s => s.WeightsHash) : [], recorded, memory.Reference is not null, settings),
        };
    }

    /// <summary>What the steps done are worth may be the whole run, by the stop that it has now.</summary>
    private static RunDecision? EndReached(RunMemory? memory, CoordinatorSettings settings) =>
        memory?.EndReached(settings.Options) is not { } end ? null
        : end.From > memory.RecordedStep ? end
        : throw TooShort(settings, memory.RecordedStep, end.From - 1);

    private static ResumeException TooShort(CoordinatorSettings settings, long recorded, long total) =>
        new($"The run in {settings.Folder} has done {recorded} steps, and would be over after {total} by its stop.*: give it more, or leave it as it is.");

    /// <summary>
    /// The checkpoint to go back to where no worker holds a newer state: the newest whose step has its line, with its weights. One that is damaged is not passed over in silence.
    /// </summary>
    private static long Choose(CheckpointScan scan, Dictionary<long, string> hashes, long recorded, bool hasTrained, CoordinatorSettings settings)
    {
        // One with other weights than its step's line is that of a worker which nobody followed.
        var good = scan.Good.Where(c => hashes.GetValueOrDefault(c.Header.Step, c.Header.WeightsHash) == c.Header.WeightsHash)
            .Select(c => c.Header.Step).Where(s => s <= recorded).ToList();
        if (settings.Checkpoint is { } wanted)
        {
            return good.Contains(wanted)
                ? wanted
                : throw new ResumeException($"There is no good checkpoint of step {wanted} in {settings.Folder}: {Offer(good)}. {string.Join(" ", scan.Refused)}".TrimEnd());
        }

        var newest = good.Count == 0 ? -1 : good.Max();
        if (scan.RefusedSteps.Any(s => s <= recorded && s > newest) && newest >= 0)
        {
            throw new ResumeException($"{string.Join(" ", scan.Refused)} To go on from an older one: {Offer(good)}.");
        }

        if (newest < 0 && hasTrained)
        {
            var later = scan.Good.Count == 0 ? "" : $" Those of later steps do not count: metrics.jsonl tells of steps up to {recorded} only.";
            throw new ResumeException($"{string.Join(" ", scan.Refused)} {settings.Folder} holds no checkpoint to go on from.{later} Restore what is missing, or begin a new run.".TrimStart());
        }

        return newest;
    }

    private static string Offer(List<long> good) =>
        good.Count == 0 ? "there is none" : $"the newest good one is --checkpoint {good.Max()}";

    /// <summary>A run that was completed is over, unless it is to be longer now, or was not able to write its summary.</summary>
    private static RunOutcome? Ending(IReadOnlyList<JournalEntry> entries, CoordinatorSettings settings) =>
        entries.Count > 0 && entries[^1] is JournalEntry.End { Status: RunStatus.Completed } end
        && entries.OfType<JournalEntry.Term>().Last().Configuration is var before
        && File.Exists(RunFolder.SummaryIn(settings.Folder))
        && !OptionsReader.Write(settings.Options).Any(now => now.Key.StartsWith("stop.", StringComparison.Ordinal) && before.GetValueOrDefault(now.Key) != now.Value)
            ? new RunOutcome(true, $"{end.Sentence} Nothing is left to do.")
            : null;

    private static void Write(Journal journal, JournalEntry entry)
    {
        if (!journal.TryAppend(entry, out var problem))
        {
            throw new IOException(problem);
        }
    }
}
