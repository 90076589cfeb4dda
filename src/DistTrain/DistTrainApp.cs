using System.Reflection;
using DistTrain.Configuration;
using DistTrain.Training.Tasks;
using DistTrain.Verbs;

namespace DistTrain;

/// <summary>
/// The command line of a training program: every verb, for the tasks and recipes that are added to it. The whole of a user's
/// <c>Program.cs</c>:
/// <code>
/// return await new DistTrainApp(args)
///     .AddTask&lt;MyModel, MyData&gt;("my-task", context => new MyTask(context))
///     .AddRecipes(typeof(MyTask).Assembly)
///     .RunAsync();
/// </code>
/// </summary>
/// <remarks>
/// <c>train</c> starts the same program again for the coordinator and every worker, so <c>Program.cs</c> must do nothing else that may not be
/// done several times.
/// </remarks>
public sealed class DistTrainApp
{
    private readonly string[] _args;
    private readonly TaskCatalog _tasks;
    private readonly RecipeShelf _recipes = new();
    private readonly Surroundings _surroundings;

    /// <summary>A program without tasks.</summary>
    /// <param name="args">The arguments of <c>Main</c>.</param>
    public DistTrainApp(string[] args)
        : this(args, new TaskCatalog())
    {
    }

    /// <summary>A program with the tasks of a catalog.</summary>
    /// <param name="args">The arguments of <c>Main</c>.</param>
    /// <param name="tasks">The tasks; more may be added.</param>
    public DistTrainApp(string[] args, TaskCatalog tasks)
        : this(args, tasks, Surroundings.OfProcess())
    {
    }

    internal DistTrainApp(string[] args, TaskCatalog tasks, Surroundings surroundings)
    {
        _args = args;
        _tasks = tasks;
        _surroundings = surroundings;
    }

    /// <summary>Adds a task.</summary>
    /// <typeparam name="TModel">The keys the task knows below <c>model</c>.</typeparam>
    /// <typeparam name="TData">The keys the task knows below <c>data</c>.</typeparam>
    /// <param name="name">The value of <c>task</c> that chooses it.</param>
    /// <param name="create">Creates the task. It throws <see cref="DataException"/> where data are missing or damaged.</param>
    public DistTrainApp AddTask<TModel, TData>(string name, Func<TaskContext<TModel, TData>, ITrainingTask> create)
        where TModel : new()
        where TData : new()
    {
        _tasks.Add(name, create);
        return this;
    }

    /// <summary>Adds the recipes of assemblies: resources named <c>recipes/NAME.yaml</c>, such as
    /// <c>&lt;EmbeddedResource Include="Recipes/*.yaml" LogicalName="recipes/%(Filename)%(Extension)" /&gt;</c>.</summary>
    public DistTrainApp AddRecipes(params Assembly[] assemblies)
    {
        foreach (var assembly in assemblies)
        {
            _recipes.Add(assembly);
        }

        return this;
    }

    /// <summary>Names the recipe that is meant where the command line names none. A program with one recipe needs not say.</summary>
    public DistTrainApp WithDefaultRecipe(string name)
    {
        _recipes.DefaultName = name;
        return this;
    }

    /// <summary>Runs the verb that the arguments name.</summary>
    /// <returns>The exit code: 0 success, 1 failure, 2 bad usage or configuration.</returns>
    public Task<int> RunAsync() => RunAsync(CancellationToken.None);

    /// <summary>Runs the verb that the arguments name.</summary>
    /// <param name="cancellation">Ends it early, like a signal.</param>
    /// <returns>The exit code: 0 success, 1 failure, 2 bad usage or configuration.</returns>
    public Task<int> RunAsync(CancellationToken cancellation) =>
        CommandTree.RunAsync(_args, new Application(_tasks, _recipes, _surroundings), cancellation);
}
