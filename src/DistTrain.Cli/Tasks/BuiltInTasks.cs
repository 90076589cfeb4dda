using DistTrain.Training.Tasks;

namespace DistTrain.Cli.Tasks;

/// <summary>The tasks that the command brings along, written against the same interface as anyone else's.</summary>
public static class BuiltInTasks
{
    /// <summary>A new catalog with all of them; a program may add its own.</summary>
    public static TaskCatalog Catalog() => new TaskCatalog()
        .Add<ImageModelOptions, ImageDataOptions>("image-classification", context => new ImageClassification(context))
        .Add<LanguageModelOptions, TextOptions>("language-model", context => new LanguageModel(context));
}
