using System.CommandLine;

namespace DistTrain.Verbs;

/// <summary>A verb: one sentence for the list of all verbs, and the lesson that its own help ends with.</summary>
internal sealed class VerbCommand(string name, string sentence, string lesson) : Command(name, sentence)
{
    /// <summary>Examples, and what else a newcomer asks.</summary>
    public string Lesson => lesson;

    /// <summary>The configuration that it is given on the command line, for its mistakes to be told with those of the command line; null where that depends on other things.</summary>
    public ConfigurationArguments? Configuration { get; set; }
}
