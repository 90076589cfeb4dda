using DistTrain.Core.Options;

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
    /// <typeparam name="TData">The keys the task knows below <c>data</c>.</typeparam>
    /// <param name="name">The value of <c>task</c> that chooses it.</param>
    /// <param name="create">Creates the task. It throws <see cref="DataException"/> where data are missing or damaged.</param>
    public TaskCatalog Add<TModel, TData>(string name, Func<TaskContext<TModel, TData>, ITrainingTask> create)
        where TModel : new()
        where TData : new()
    {
        _tasks.Add(name, new TaskDefinition(
            [.. Keys<TModel>("model"), .. Keys<TData>("data")],
            run => [.. ReadModel(run).Problems, .. ReadData(run).Problems],
            run => create(new TaskContext<TModel, TData>(ReadModel(run).Options, ReadData(run).Options, run))));
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

    /// <summary>Creates the task of a configuration that <see cref="Check"/> found nothing wrong with.</summary>
    /// <exception cref="DataException">The data are missing or damaged.</exception>
    public ITrainingTask Create(RunOptions run) => _tasks[run.Task].Create(run);

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
        IReadOnlyList<OptionKey> Keys, Func<RunOptions, IReadOnlyList<OptionProblem>> Check, Func<RunOptions, ITrainingTask> Create);
}
