using DistTrain.Cli.Tasks;
using DistTrain.Configuration;

namespace DistTrain.Cli.Tests.Configuration;

/// <summary>The recipes the command carries.</summary>
public sealed class RecipeTests
{
    private static readonly RecipeShelf Shelf = Fill();

    public static TheoryData<string> Names => [.. Shelf.Names];

    [Fact]
    public void The_recipes_are_those_of_the_README() =>
        Assert.Equal(["digits", "fashion-mnist-cnn", "fashion-mnist-mlp", "fashion-mnist-resnet", "gpt-bytes"], Shelf.Names);

    [Theory]
    [MemberData(nameof(Names))]
    public void A_recipe_has_no_mistake_and_says_what_it_is_for(string name)
    {
        var read = RunConfiguration.Read(new ConfigurationRequest { Source = name }, Shelf, BuiltInTasks.Catalog());
        Assert.Empty(read.Problems);
        Assert.Equal(name, read.Options.Name);
        Assert.NotEmpty(Shelf.Describe(name));
    }

    private static RecipeShelf Fill()
    {
        var shelf = new RecipeShelf();
        shelf.Add(typeof(BuiltInTasks).Assembly);
        return shelf;
    }
}
