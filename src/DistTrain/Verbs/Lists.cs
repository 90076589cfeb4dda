using System.CommandLine;
using System.CommandLine.Parsing;

namespace DistTrain.Verbs;

/// <summary>The values of an option that takes a list. Its text is what a user would type for it, so that help shows a default in that form.</summary>
/// <param name="Text">The values as they were typed, between commas.</param>
/// <param name="Values">The values, each once.</param>
internal sealed record TypedList<T>(string Text, IReadOnlyList<T> Values)
{
    /// <inheritdoc/>
    public override string ToString() => Text;
}

/// <summary>Options whose value is a list.</summary>
internal static class Lists
{
    /// <summary>An option that takes values between commas; given more than once, all of them.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="description">What it is for.</param>
    /// <param name="help">What a value looks like.</param>
    /// <param name="standard">What counts where it is left away; null for nothing.</param>
    /// <param name="read">Reads one value, or says what is wrong with it, after the list and a colon.</param>
    public static Option<TypedList<T>> Option<T>(string name, string description, string help, string? standard, Func<string, (T Value, string? Problem)> read)
    {
        var option = new Option<TypedList<T>>(name) { Description = description, HelpName = help, Arity = ArgumentArity.OneOrMore };
        if (standard is not null)
        {
            option.DefaultValueFactory = _ => Read(name, standard, read, null);
        }

        option.CustomParser = result => Read(name, string.Join(',', result.Tokens.Select(t => t.Value)), read, result);
        return option;
    }

    private static TypedList<T> Read<T>(string name, string text, Func<string, (T Value, string? Problem)> read, ArgumentResult? result)
    {
        var items = text.Split(',').Select(item => read(item.Trim())).ToList();
        foreach (var (_, problem) in items.Where(i => i.Problem is not null))
        {
            result?.AddError($"{name} is '{text}': {problem}.");
        }

        return new TypedList<T>(text, [.. items.Select(i => i.Value).Distinct()]);
    }
}
