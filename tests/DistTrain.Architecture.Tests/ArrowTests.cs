using System.Reflection.Metadata;
using System.Reflection.PortableExecutable;

namespace DistTrain.Architecture.Tests;

/// <summary>
/// Arrows point down only: Cli -> DistTrain -> {Coordinator, Worker} -> Protocol -> Core, and Worker -> Training -> Core.
/// </summary>
public sealed class ArrowTests
{
    private static readonly Dictionary<string, string[]> Arrows = new()
    {
        ["DistTrain.Cli"] = ["DistTrain"],
        ["DistTrain"] = ["DistTrain.Coordinator", "DistTrain.Worker"],
        ["DistTrain.Coordinator"] = ["DistTrain.Protocol"],
        ["DistTrain.Worker"] = ["DistTrain.Protocol", "DistTrain.Training"],
        ["DistTrain.Training"] = ["DistTrain.Core"],
        ["DistTrain.Protocol"] = ["DistTrain.Core"],
        ["DistTrain.Core"] = [],
    };

    public static TheoryData<string> Projects => [.. Arrows.Keys];

    [Fact]
    public void There_are_the_projects_that_are_drawn() =>
        Assert.Equal(Arrows.Keys.Order(), Repository.Projects.Keys.Order());

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_project_refers_to_the_ones_below_it(string project) =>
        Assert.Equal(Arrows[project].Order(), Repository.Projects[project].References.Order());

    [Theory]
    [MemberData(nameof(Projects))]
    public void An_assembly_uses_only_assemblies_its_project_reaches(string project)
    {
        var reach = Repository.Projects[project].Reach().Select(AssemblyName).ToHashSet();
        var used = References(project).Where(name => Arrows.Keys.Select(AssemblyName).Contains(name));

        Assert.Subset(reach, used.ToHashSet());
    }

    [Fact]
    public void Core_has_no_packages_and_uses_nothing_but_the_framework()
    {
        Assert.Empty(Repository.Projects["DistTrain.Core"].Packages);
        Assert.All(References("DistTrain.Core"), name => Assert.StartsWith("System", name, StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void Tensors_are_used_where_training_and_tasks_are_written_only(string project)
    {
        var mayUse = project is "DistTrain.Training" or "DistTrain.Cli";

        Assert.Equal(mayUse, References(project).Contains("TorchSharp"));
        Assert.Equal(project == "DistTrain.Training", Repository.Projects[project].Packages.Contains("TorchSharp"));
        Assert.DoesNotContain(Repository.Projects[project].Files.Where(_ => !mayUse), file => File.ReadAllText(file).Contains("TorchSharp", StringComparison.Ordinal));
    }

    [Fact]
    public void The_wire_is_known_above_training_only() =>
        Assert.DoesNotContain(References("DistTrain.Training"), name => name.StartsWith("Grpc", StringComparison.Ordinal) || name.StartsWith("Google", StringComparison.Ordinal));

    /// <summary>What the compiler wrote down: packages that come along unused are not among it.</summary>
    private static List<string> References(string project)
    {
        using var file = new PEReader(File.OpenRead(Path.Combine(AppContext.BaseDirectory, AssemblyName(project) + ".dll")));
        var metadata = file.GetMetadataReader();
        return [.. metadata.AssemblyReferences.Select(r => metadata.GetString(metadata.GetAssemblyReference(r).Name))];
    }

    private static string AssemblyName(string project) => project switch
    {
        "DistTrain" => "DistTrain.App",
        "DistTrain.Cli" => "disttrain",
        _ => project,
    };
}
