using System.Diagnostics;
using System.Runtime.CompilerServices;
using System.Xml.Linq;

namespace DistTrain.Architecture.Tests;

/// <summary>One project below <c>src</c>, as its file states it.</summary>
/// <param name="Name">Name of the project.</param>
/// <param name="Folder">Its folder.</param>
/// <param name="References">Projects it refers to.</param>
/// <param name="Packages">Packages it refers to.</param>
internal sealed record SourceProject(string Name, string Folder, IReadOnlyList<string> References, IReadOnlyList<string> Packages)
{
    /// <summary>The C# files that people write.</summary>
    public IEnumerable<string> Files => Directory.EnumerateFiles(Folder, "*.cs", SearchOption.AllDirectories)
        .Where(file => !Path.GetRelativePath(Folder, file).Split('/', '\\').Any(part => part is "bin" or "obj"));

    /// <summary>Every project it reaches, itself included.</summary>
    public IReadOnlySet<string> Reach()
    {
        var found = new HashSet<string> { Name };
        var open = new Queue<string>(References);
        while (open.TryDequeue(out var name))
        {
            if (found.Add(name))
            {
                Repository.Projects[name].References.ToList().ForEach(open.Enqueue);
            }
        }

        return found;
    }

    public static SourceProject Read(string path)
    {
        var items = XDocument.Load(path).Descendants().ToList();
        return new SourceProject(
            Path.GetFileNameWithoutExtension(path), Path.GetDirectoryName(path)!,
            [.. Included("ProjectReference").Select(reference => Path.GetFileNameWithoutExtension(reference.Replace('\\', '/')))],
            [.. Included("PackageReference")]);

        IEnumerable<string> Included(string item) => items.Where(e => e.Name.LocalName == item).Select(e => e.Attribute("Include")!.Value);
    }
}

/// <summary>The source tree these tests were built from.</summary>
internal static class Repository
{
    public static string Root { get; } = FindRoot();

    /// <summary>The projects below <c>src</c> by name.</summary>
    public static IReadOnlyDictionary<string, SourceProject> Projects { get; } =
        Directory.EnumerateFiles(Path.Combine(Root, "src"), "*.csproj", SearchOption.AllDirectories)
            .Select(SourceProject.Read).ToDictionary(p => p.Name, StringComparer.Ordinal);

    /// <summary>What is under version control, with <c>/</c>; null where this is no checkout, such as an unpacked archive.</summary>
    public static IReadOnlyList<string>? Tracked()
    {
        try
        {
            using var git = Process.Start(new ProcessStartInfo("git", ["-C", Root, "ls-files", "-z"]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
            var output = git.StandardOutput.ReadToEnd();
            git.WaitForExit();
            return git.ExitCode == 0 ? output.Split('\0', StringSplitOptions.RemoveEmptyEntries) : null;
        }
        catch (System.ComponentModel.Win32Exception)
        {
            return null;
        }
    }

    private static string FindRoot([CallerFilePath] string here = "")
    {
        // Deterministic builds map the source path away: then the folder of the test's binaries leads up to the root.
        foreach (var start in new[] { Path.GetDirectoryName(here), AppContext.BaseDirectory })
        {
            for (var folder = start; !string.IsNullOrEmpty(folder); folder = Path.GetDirectoryName(folder))
            {
                if (File.Exists(Path.Combine(folder, "DistTrain.sln")))
                {
                    return folder;
                }
            }
        }

        throw new DirectoryNotFoundException("DistTrain.sln is in no folder above the tests.");
    }
}
