using DistTrain;
using DistTrain.Cli.Tasks;

return await new DistTrainApp(args, BuiltInTasks.Catalog())
    .AddRecipes(typeof(Program).Assembly)
    .WithDefaultRecipe("digits")
    .RunAsync();
