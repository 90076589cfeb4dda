using System.Xml.Linq;

namespace DistTrain.Cli.Tests.Deploying;

/// <summary><c>deploy/Dockerfile</c> agrees with the tree it builds from; that it builds, and what comes of it, is shown by <c>acceptance/image.sh</c>.</summary>
public sealed class DockerfileTests
{
    private static readonly string[] Lines = DeployFolder.Lines("Dockerfile");

    [Fact]
    public void The_image_is_labelled_with_the_version() => Assert.Contains($"ARG VERSION={DeployFolder.Version}", Lines);

    [Fact]
    public void Both_targets_are_made_alike()
    {
        var cpu = Target("cpu");

        Assert.Equal(cpu, Target("cuda").Where(line => !line.Contains("NVIDIA", StringComparison.Ordinal)).Select(line => line.Replace("-cuda", "-cpu", StringComparison.Ordinal)));
        Assert.Contains("USER 65532:65532", cpu);
        Assert.Contains("WORKDIR /var/lib/disttrain", cpu);
    }

    [Fact]
    public void The_builder_sees_all_that_the_projects_refer_to_outside_their_folders()
    {
        var seen = File.ReadAllLines(Path.Combine(DeployFolder.Root, ".dockerignore"))
            .Where(line => line.StartsWith('!')).Select(line => line.TrimStart('!', '/')).ToList();
        var referred = Directory.EnumerateFiles(Path.Combine(DeployFolder.Root, "src"), "*.csproj", SearchOption.AllDirectories)
            .SelectMany(project => XDocument.Load(project).Descendants().Attributes("Include")
                .SelectMany(include => include.Value.Split(';'))
                .Where(path => path.StartsWith("../", StringComparison.Ordinal))
                .Select(path => Path.GetRelativePath(DeployFolder.Root, Path.GetFullPath(Path.Combine(Path.GetDirectoryName(project)!, path)))))
            .ToList();

        Assert.Contains(referred, path => path.StartsWith("protos/", StringComparison.Ordinal));
        Assert.All(referred, path => Assert.Contains(seen, folder => path == folder || path.StartsWith(folder + "/", StringComparison.Ordinal)));
    }

    /// <summary>The instructions of a target's stage.</summary>
    private static List<string> Target(string name) =>
        [.. Lines.SkipWhile(line => line != $"FROM runtime AS {name}").Skip(1).TakeWhile(line => line.Length > 0)];
}
