using System.CommandLine;
using System.Text.Json.Nodes;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary><c>recipes</c>: what can be trained without writing a file.</summary>
internal static class RecipesVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "recipes",
            "List the recipes, or print one: a recipe is a YAML file, and a good start for your own.",
            "Examples:\n"
            + "  recipes\n"
            + "  recipes digits > my-run.yaml");
        var name = new Argument<string?>("NAME") { Description = "The recipe to print.", Arity = ArgumentArity.ZeroOrOne };
        var json = Common.Json("A list of objects instead of a table.");
        command.Add(name);
        command.Add(json);
        command.SetAction(parsed => Run(app, parsed.GetValue(name), parsed.GetValue(json)));
        return command;
    }

    private static int Run(Application app, string? name, bool json)
    {
        var (recipes, output) = (app.Recipes, app.Surroundings.Out);
        if (name is not null)
        {
            if (recipes.Find(name) is not { } text)
            {
                app.Surroundings.Fail($"'{name}' is no recipe ({recipes.List()}).");
                return ExitCode.Usage;
            }

            output.Write(text);
        }
        else if (json)
        {
            output.WriteLine(new JsonArray([.. recipes.Names.Select(n => new JsonObject
            {
                ["name"] = n,
                ["description"] = recipes.Describe(n),
                ["default"] = n == recipes.Default,
            })]).ToJsonString());
        }
        else
        {
            var table = new TextTable();
            foreach (var recipe in recipes.Names)
            {
                table.Add(recipe, recipes.Describe(recipe) + (recipe == recipes.Default ? " (the default)" : ""));
            }

            if (recipes.Names.Count == 0)
            {
                output.WriteLine("This program has no recipes; give train the path of a YAML file.");
            }
            else
            {
                table.Write(output);
            }
        }

        return ExitCode.Success;
    }
}
