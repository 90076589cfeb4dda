using System.CommandLine;
using System.CommandLine.Help;
using System.CommandLine.Invocation;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;
using DistTrain.Views;

namespace DistTrain.Verbs;

/// <summary>The library's help, followed by the verb's examples and, where it takes a configuration, by every key that <c>--set</c> can be given, those of the
/// program's tasks included.</summary>
internal sealed class TeachingHelp(HelpAction inner, TaskCatalog tasks) : SynchronousCommandLineAction
{
    /// <inheritdoc/>
    public override bool ClearsParseErrors => inner.ClearsParseErrors;

    /// <inheritdoc/>
    public override int Invoke(ParseResult parseResult)
    {
        var code = inner.Invoke(parseResult);
        var output = parseResult.InvocationConfiguration.Output;
        if (parseResult.CommandResult.Command is VerbCommand verb)
        {
            output.WriteLine(verb.Lesson);
            output.WriteLine();
        }

        if (parseResult.CommandResult.Command.Options.Any(o => o.Name == ConfigurationArguments.SetName))
        {
            WriteKeys(output);
        }

        return code;
    }

    private void WriteKeys(TextWriter output)
    {
        output.WriteLine("Configuration keys (default in parentheses):");
        WriteTable(output, OptionsReader.Keys(typeof(RunOptions)));
        foreach (var task in tasks.Names)
        {
            output.WriteLine();
            output.WriteLine($"Keys of the task {task}:");
            WriteTable(output, tasks.Keys(task));
        }

        output.WriteLine();
        output.WriteLine("  Layers, the later wins: recipe or file, environment (DISTTRAIN__BATCH__GLOBAL=512), --set batch.global=512.");
        output.WriteLine("  An empty value (--set clip.globalNorm=) takes a key back to its default.");
    }

    private static void WriteTable(TextWriter output, IEnumerable<OptionKey> keys)
    {
        var table = new TextTable();
        foreach (var key in keys)
        {
            table.Add(key.Key, key.Default.Length == 0 ? key.Description : $"{key.Description} ({key.Default})".TrimStart());
        }

        table.Write(output, "  ");
    }
}
