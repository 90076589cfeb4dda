using DistTrain.Core.Options;

namespace DistTrain.Core.Faults;

/// <summary>
/// Turns a flat table of keys into a plan: <c>seed</c>, and below <c>faults.N</c>, counted from 1, one kind with its keys, such as <c>faults.1.kill.worker</c>. A list of scalars is
/// one value with commas.
/// </summary>
public sealed class FaultPlanReader
{
    private const string Faults = "faults";

    private readonly int _workers;
    private readonly List<OptionProblem> _problems = [];
    private readonly List<(string Key, int Worker)> _named = [];
    private int _joins;

    private FaultPlanReader(int workers) => _workers = workers;

    /// <summary>The plan, usable where there is no mistake, and every mistake.</summary>
    /// <param name="values">Keys with dots and their text.</param>
    /// <param name="workers">With how many workers the run begins.</param>
    public static (FaultPlan Plan, IReadOnlyList<OptionProblem> Problems) Read(IReadOnlyDictionary<string, string> values, int workers)
    {
        var reader = new FaultPlanReader(workers);
        var plan = reader.ReadAll(values);
        return (plan, reader._problems);
    }

    private FaultPlan ReadAll(IReadOnlyDictionary<string, string> values)
    {
        var head = values.Where(v => !IsBelow(v.Key, Faults)).ToDictionary(v => v.Key, v => v.Value, StringComparer.Ordinal);
        if (head.Remove(Faults, out var scalar) && scalar.Length > 0)
        {
            _problems.Add(new OptionProblem(Faults, scalar, "must be a list of faults, such as - kill: { worker: 1, step: 40 }"));
        }

        var (options, problems) = OptionsReader.Read<PlanHead>(head);
        _problems.AddRange(problems);
        var draw = new FaultDraw(options.Seed, _workers);
        foreach (var entry in values.Where(v => IsBelow(v.Key, Faults)).GroupBy(v => v.Key.Split('.')[1]).OrderBy(g => Number(g.Key)))
        {
            ReadEntry($"{Faults}.{entry.Key}", entry.ToDictionary(v => v.Key[(Faults.Length + entry.Key.Length + 2)..], v => v.Value), draw);
        }

        foreach (var (key, worker) in _named.Where(n => n.Worker >= _workers + _joins))
        {
            _problems.Add(new OptionProblem(key, $"{worker}", $"the run has workers 0 to {_workers - 1}{(_joins > 0 ? $", and {_joins} join" : "")}; name one of them"));
        }

        return _problems.Count == 0 ? draw.Draw() : new FaultPlan(options.Seed, []);
    }

    private void ReadEntry(string path, Dictionary<string, string> values, FaultDraw draw)
    {
        var kinds = values.GroupBy(v => v.Key.Split('.')[0]).ToList();
        if (kinds.Count != 1)
        {
            _problems.Add(new OptionProblem(path, string.Join(", ", kinds.Select(k => k.Key)), "must hold one kind; give each fault an entry of its own"));
            return;
        }

        var name = kinds[0].Key;
        var at = $"{path}.{name}";
        if (values.TryGetValue(name, out var scalar))
        {
            _problems.Add(new OptionProblem(at, scalar, "holds keys of its own; write - " + name + ": { step: 40 } with the keys of that kind"));
            return;
        }

        var below = values.ToDictionary(v => v.Key[(name.Length + 1)..], v => v.Value, StringComparer.OrdinalIgnoreCase);
        switch (name)
        {
            case "kill":
                Add<KillEntry>(FaultKind.Kill, (fault, e) => Named(fault with { Block = e.Block }, at, e.Worker));
                break;
            case "pause":
                Add<PauseEntry>(FaultKind.Pause, (fault, e) => Named(fault with { For = e.For }, at, e.Worker));
                break;
            case "leave":
                Add<WorkerEntry>(FaultKind.Leave, (fault, e) => Named(fault, at, e.Worker));
                break;
            case "join":
                Add<RunEntry>(FaultKind.Join, (fault, _) => fault);
                _joins++;
                break;
            case "cutLink":
                Add<CutLinkEntry>(FaultKind.CutLink, (fault, e) => Linked(fault, at, e.Ends!.Value));
                break;
            case "restartCoordinator":
                Add<RunEntry>(FaultKind.RestartCoordinator, (fault, _) => fault);
                break;
            case "killAll":
                Add<RunEntry>(FaultKind.KillAll, (fault, _) => fault);
                break;
            case "fullDisk":
                Add<FullDiskEntry>(FaultKind.FullDisk, (fault, e) => fault with { Steps = e.Steps });
                break;
            case "random":
                if (Valid<RandomEntry>(at, below) is { } entry)
                {
                    draw.Add(entry);
                }

                break;
            default:
                var known = string.Join(", ", Enum.GetValues<FaultKind>().Select(Fault.NameOf));
                _problems.Add(new OptionProblem(path, name, $"no such kind of fault; the kinds are {known}, random"));
                break;
        }

        void Add<T>(FaultKind kind, Func<Fault, T, Fault> complete)
            where T : FaultEntry, new()
        {
            if (Valid<T>(at, below) is { } e)
            {
                draw.Add(complete(new Fault { Kind = kind, Step = e.Step, Members = e.Members }, e));
            }
        }
    }

    private T? Valid<T>(string path, Dictionary<string, string> values)
        where T : class, new()
    {
        var (entry, problems) = OptionsReader.Read<T>(values, path);
        _problems.AddRange(problems);
        return problems.Count == 0 ? entry : null;
    }

    private Fault Named(Fault fault, string path, int worker)
    {
        _named.Add(($"{path}.worker", worker));
        return fault with { Worker = worker };
    }

    private Fault Linked(Fault fault, string path, (int Worker, int Peer) ends)
    {
        _named.AddRange([($"{path}.workers", ends.Worker), ($"{path}.workers", ends.Peer)]);
        return fault with { Worker = ends.Worker, Peer = ends.Peer };
    }

    private static bool IsBelow(string key, string section) => key.StartsWith(section + ".", StringComparison.Ordinal);

    private static int Number(string text) => int.TryParse(text, out var number) ? number : int.MaxValue;
}

/// <summary>The keys of a plan beside its faults.</summary>
internal sealed record PlanHead
{
    /// <summary>What random faults are drawn with.</summary>
    public ulong Seed { get; init; } = 1;
}
