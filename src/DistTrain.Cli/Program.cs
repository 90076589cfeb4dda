using DistTrain;

return await new DistTrainApp(args)
    .AddRecipes(typeof(Program).Assembly)
    .WithDefaultRecipe("digits")
    .RunAsync();
