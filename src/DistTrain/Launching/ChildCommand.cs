using System.Reflection;

namespace DistTrain.Launching;

/// <summary>How a program is started: the executable and what comes before the verb.</summary>
internal sealed record ChildCommand(string FileName, IReadOnlyList<string> Prefix)
{
    /// <summary>This program again: its own executable, or <c>dotnet</c> and its assembly.</summary>
    public static ChildCommand OfThisProcess()
    {
        var executable = Environment.ProcessPath ?? throw new InvalidOperationException("The process does not know its own path.");
        var isHost = Path.GetFileNameWithoutExtension(executable).Equals("dotnet", StringComparison.OrdinalIgnoreCase);
        var assembly = Assembly.GetEntryAssembly()?.GetName().Name;
        return isHost && assembly is not null
            ? new ChildCommand(executable, [Path.Combine(AppContext.BaseDirectory, assembly + ".dll")])
            : new ChildCommand(executable, []);
    }
}
