using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Training.Data;

namespace DistTrain.Training.Tasks;

/// <summary>What a task is created from.</summary>
/// <param name="Model">The keys of <c>model</c>.</param>
/// <param name="Data">The keys of <c>data</c>.</param>
/// <param name="Run">The whole configuration.</param>
public sealed record TaskContext<TModel, TData>(TModel Model, TData Data, RunOptions Run);

/// <summary>The tasks a program knows, by name.</summary>
public sealed class TaskCatalog
{
    private readonly SortedDictionary<string, TaskDefinition> _tasks = new(StringComparer.Ordinal);

    /// <summary>The names, sorted.</summary>
    public IReadOnlyCollection<string> Names => _tasks.Keys;

    /// <summary>Adds a task.</summary>
    /// <typeparam name="TModel">The keys the task knows below <c>model</c>: a record as <see cref="OptionsReader"/> reads it,
    /// <see cref="IOptionRelations"/> where its keys depend on each other.</typeparam>
    /// <typeparam name="TData">The keys the task knows below <c>data</c>. Where <c>path</c> is one of them, <see cref="DataLocation"/>'s are known, too, and the task finds at
    /// <c>path</c> whatever way the data came; <see cref="IDataFiles"/> where they are not every file there.</typeparam>
    /// <param name="name">The value of <c>task</c> that chooses it.</param>
    /// <param name="create">Creates the task. It throws <see cref="DataException"/> where data are missing or damaged.</param>
    /// <exception cref="ArgumentException">A key of <typeparamref name="TData"/> has a name that <see cref="DataLocation"/> has.</exception>
    public TaskCatalog Add<TModel, TData>(string name, Func<TaskContext<TModel, TData>, ITrainingTask> create)
        where TModel : new()
        where TData : new()
    {
        var own = OptionsReader.Keys(typeof(TData)).Select(k => k.Key).ToList();
        if (own.Intersect(DataLocation.Names, StringComparer.OrdinalIgnoreCase).FirstOrDefault() is { } taken)
        {
            throw new ArgumentException($"{typeof(TData).Name} has the key data.{taken}, which says for all tasks how workers get their data: name it otherwise.", nameof(create));
        }

        var isMovable = own.Contains(DataLocation.PathKey);
        _tasks.Add(name, new TaskDefinition(
            [.. Keys<TModel>("model"), .. Keys<TData>("data"), .. isMovable ? Keys<DataLocation>("data") : []],
            run => [.. ReadModel(run).Problems, .. isMovable ? MovableData.Check(run, r => Read<TData>(r.Data).Problems) : ReadData(run).Problems],
            run => create(new TaskContext<TModel, TData>(ReadModel(run).Options, ReadData(run).Options, run)),
            (run, path) => ReadData(run).Options is IDataFiles data ? data.Find(path) : DataFolder.At(path)));
        return this;

        static IEnumerable<OptionKey> Keys<T>(string section) => OptionsReader.Keys(typeof(T)).Select(k => k with { Key = $"{section}.{k.Key}" });

        static (TModel Options, IReadOnlyList<OptionProblem> Problems) ReadModel(RunOptions run) => Read<TModel>(run.Model);

        static (TData Options, IReadOnlyList<OptionProblem> Problems) ReadData(RunOptions run) => Read<TData>(run.Data);
    }

    /// <summary>The keys that a task knows below <c>model</c> and <c>data</c>.</summary>
    /// <param name="name">One of <see cref="Names"/>.</param>
    public IReadOnlyList<OptionKey> Keys(string name) => _tasks[name].Keys;

    /// <summary>Every mistake in the task's own part of a configuration.</summary>
    public IReadOnlyList<OptionProblem> Check(RunOptions run)
    {
        if (run.Task.Length == 0)
        {
            return [];
        }

        return _tasks.TryGetValue(run.Task, out var task)
            ? task.Check(run)
            : [new OptionProblem("task", run.Task, $"must be one of {string.Join(", ", Names)}, or a task that your own program adds")];
    }

    /// <summary>Which files a run's data consist of on this host.</summary>
    /// <param name="run">A configuration that <see cref="Check"/> found nothing wrong with.</param>
    /// <param name="path">Where they lie; null where the task finds them by itself.</param>
    /// <exception cref="DataException">They are not there.</exception>
    public DataFiles Files(RunOptions run, string? path) => _tasks[run.Task].Files(DataLocation.At(run, path), path);

    /// <summary>Creates the task of a configuration that <see cref="Check"/> found nothing wrong with, on a host on which the data lie at <c>data.path</c>.</summary>
    /// <exception cref="DataException">The data are missing or damaged, or an evaluation of the task has more sums than workers can tell each other.</exception>
    public ITrainingTask Create(RunOptions run)
    {
        var task = _tasks[run.Task].Create(run);
        var form = new EvaluationForm(task.Metrics) { Classes = task.Classes };
        if (form.Sums <= EvaluationForm.MostSums)
        {
            return task;
        }

        task.Dispose();
        throw new DataException(
            $"An evaluation of the task {run.Task} has {form.Sums} sums, its metrics ({form.Metrics.Count}) and the confusions of {form.Classes.Count} classes, and a message between workers holds "
            + $"{EvaluationForm.MostSums}: let the task's Classes be empty where there are more than {(int)Math.Sqrt(EvaluationForm.MostSums)}, so that no confusions are counted.");
    }

    /// <summary>Every section has a name; only a task with several models or data sets needs to know it.</summary>
    private static (T Options, IReadOnlyList<OptionProblem> Problems) Read<T>(OptionSection section)
        where T : new()
    {
        var values = new Dictionary<string, string>(section.Values, StringComparer.OrdinalIgnoreCase);
        if (typeof(T).GetProperty(nameof(OptionSection.Name)) is null)
        {
            values.Remove(nameof(OptionSection.Name));
        }

        return OptionsReader.Read<T>(values, section.Path);
    }

    private sealed record TaskDefinition(
        IReadOnlyList<OptionKey> Keys, Func<RunOptions, IReadOnlyList<OptionProblem>> Check, Func<RunOptions, ITrainingTask> Create,
        Func<RunOptions, string?, DataFiles> Files);
}
