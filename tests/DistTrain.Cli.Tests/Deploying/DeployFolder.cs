using System.Xml.Linq;
using YamlDotNet.Core;
using YamlDotNet.Serialization;
using YamlDotNet.Serialization.NamingConventions;

namespace DistTrain.Cli.Tests.Deploying;

/// <summary>The folder <c>deploy</c> of the source tree these tests were built from.</summary>
internal static class DeployFolder
{
    public static string Root { get; } = FindRoot();

    /// <summary>The version that everything is built with.</summary>
    public static string Version { get; } =
        XDocument.Load(Path.Combine(Root, "Directory.Build.props")).Descendants("Version").Single().Value;

    public static string PathOf(string name) => Path.Combine(Root, "deploy", name);

    public static string[] Lines(string name) => File.ReadAllLines(PathOf(name));

    /// <summary>Reads a Compose file; a key that <see cref="ComposeFile"/> does not know is refused.</summary>
    public static ComposeFile ReadCompose(TextReader text) => new DeserializerBuilder()
        .WithNamingConvention(UnderscoredNamingConvention.Instance).Build()
        .Deserialize<ComposeFile>(new MergingParser(new Parser(text)));

    public static ComposeFile ReadCompose()
    {
        using var text = File.OpenText(PathOf("compose.yaml"));
        return ReadCompose(text);
    }

    private static string FindRoot()
    {
        var folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "DistTrain.sln")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new DirectoryNotFoundException("DistTrain.sln is in no folder above the tests.");
        }

        return folder;
    }
}

/// <summary>What a Compose file of this project may say (https://compose-spec.io).</summary>
internal sealed record ComposeFile
{
    public required string Name { get; init; }

    [YamlMember(Alias = "x-container", ApplyNamingConventions = false)]
    public ComposeService? Container { get; init; }

    public required Dictionary<string, ComposeService> Services { get; init; }

    public Dictionary<string, object?> Volumes { get; init; } = [];
}

/// <summary>A service.</summary>
internal sealed record ComposeService
{
    public string? Image { get; init; }

    public ComposeBuild? Build { get; init; }

    public string? User { get; init; }

    public bool ReadOnly { get; init; }

    public List<string> Tmpfs { get; init; } = [];

    public List<string> CapDrop { get; init; } = [];

    public List<string> SecurityOpt { get; init; } = [];

    public string? StopGracePeriod { get; init; }

    public string? Restart { get; init; }

    public List<string> Command { get; init; } = [];

    public List<string> Volumes { get; init; } = [];

    public List<string> DependsOn { get; init; } = [];
}

/// <summary>How a service's image is built.</summary>
internal sealed record ComposeBuild
{
    public required string Context { get; init; }

    public required string Dockerfile { get; init; }

    public required string Target { get; init; }
}
