using DistTrain.Configuration;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary>What every verb works with.</summary>
internal sealed record Application(TaskCatalog Tasks, RecipeShelf Recipes, Surroundings Surroundings);

/// <summary>How a command ends.</summary>
internal static class ExitCode
{
    public const int Success = 0;

    /// <summary>It failed, or a comparison differs.</summary>
    public const int Failure = 1;

    /// <summary>Bad usage or configuration; nothing was done.</summary>
    public const int Usage = 2;
}
