using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace DistTrain.Architecture.Tests;

/// <summary>What a reader of the tree may rely on: folders, namespaces, links, comments.</summary>
public sealed partial class TreeTests
{
    /// <summary>What is visible at the top. Everything else is a build file of the SDK's own naming.</summary>
    private static readonly HashSet<string> Top = ["src", "protos", "tests", "deploy", "k8s", "README.md", "DistTrain.sln"];

    private static readonly HashSet<string> BuildFiles =
        ["Directory.Build.props", "Directory.Build.targets", "Directory.Packages.props", "global.json", "nuget.config", "LICENSE"];

    public static TheoryData<string> Projects => [.. Repository.Projects.Keys];

    [Fact]
    public void Nothing_else_is_at_the_top()
    {
        Assert.SkipWhen(Repository.Tracked() is null, "This is not a git checkout.");
        var entries = Repository.Tracked()!.Select(file => file.Split('/')[0]).Distinct();

        Assert.Subset(Top.Concat(BuildFiles).ToHashSet(), entries.Where(entry => !entry.StartsWith('.')).ToHashSet());
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void A_file_has_the_namespace_of_its_folder(string project)
    {
        foreach (var file in Repository.Projects[project].Files)
        {
            var folders = Path.GetDirectoryName(Path.GetRelativePath(Repository.Projects[project].Folder, file))!;
            var expected = folders.Length == 0 ? project : $"{project}.{folders.Replace('/', '.').Replace('\\', '.')}";
            var found = Namespace().Match(File.ReadAllText(file));

            Assert.True(
                found.Success ? found.Groups[1].Value == expected : Path.GetFileName(file) == "Program.cs",
                $"{Path.GetRelativePath(Repository.Root, file)} has the namespace '{found.Groups[1].Value}' instead of '{expected}'.");
        }
    }

    [Fact]
    public void Links_of_the_READMEs_lead_somewhere()
    {
        var missing = new List<string>();
        foreach (var page in new[] { "src", "protos", "tests", "deploy", "k8s" }
            .Select(folder => Path.Combine(Repository.Root, folder)).Where(Directory.Exists)
            .SelectMany(folder => Directory.EnumerateFiles(folder, "*.md", SearchOption.AllDirectories))
            .Concat(Directory.EnumerateFiles(Repository.Root, "README.md")))
        {
            foreach (Match link in Link().Matches(Code().Replace(File.ReadAllText(page), "")))
            {
                var target = link.Groups[1].Value.Split('#')[0];
                if (target.Length > 0 && !target.Contains("://", StringComparison.Ordinal) && !target.StartsWith("mailto:", StringComparison.Ordinal)
                    && !Path.Exists(Path.Combine(Path.GetDirectoryName(page)!, Uri.UnescapeDataString(target))))
                {
                    missing.Add($"{Path.GetRelativePath(Repository.Root, page)} -> {target}");
                }
            }
        }

        Assert.Empty(missing);
    }

    [Theory]
    [MemberData(nameof(Projects))]
    public void Public_types_say_what_they_are_for(string project)
    {
        var name = project switch { "DistTrain" => "DistTrain.App", "DistTrain.Cli" => "disttrain", _ => project };
        var assembly = Assembly.LoadFrom(Path.Combine(AppContext.BaseDirectory, name + ".dll"));
        var comments = XDocument.Load(Path.Combine(AppContext.BaseDirectory, name + ".xml")).Descendants("member")
            .Where(member => member.Element("summary") is { } summary && !string.IsNullOrWhiteSpace(summary.Value))
            .Select(member => member.Attribute("name")!.Value).ToHashSet();

        // Types generated from protos carry the protos' own comments, where they have any.
        var types = assembly.GetExportedTypes()
            .Where(type => type.Namespace?.StartsWith("DistTrain.Protocol.V1", StringComparison.Ordinal) != true)
            .Where(type => type.Namespace is not null && !type.IsDefined(typeof(CompilerGeneratedAttribute)));
        Assert.Subset(comments, types.Select(type => "T:" + type.FullName!.Replace('+', '.')).ToHashSet());
    }

    [GeneratedRegex(@"^namespace ([\w.]+)", RegexOptions.Multiline)]
    private static partial Regex Namespace();

    [GeneratedRegex(@"\]\(([^)\s]+)(?:\s+""[^""]*"")?\)")]
    private static partial Regex Link();

    [GeneratedRegex("```.*?```|`[^`\n]*`", RegexOptions.Singleline)]
    private static partial Regex Code();
}
