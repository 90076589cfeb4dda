namespace DistTrain.Auditing;

/// <summary>The result of one check.</summary>
/// <param name="Check">What was checked, in a word.</param>
/// <param name="Holds">Whether it holds; null where the folder does not say enough to tell.</param>
/// <param name="Sentence">What was found: the first thing that is wrong, with its file and place, or what was seen to be right.</param>
internal sealed record Finding(string Check, bool? Holds, string Sentence)
{
    /// <summary>A check whose problems are listed; without any it holds.</summary>
    /// <param name="check">What was checked.</param>
    /// <param name="problems">What is wrong, most important first.</param>
    /// <param name="otherwise">What was seen to be right.</param>
    public static Finding Of(string check, IEnumerable<string> problems, Func<string> otherwise)
    {
        var found = problems.ToList();
        return found switch
        {
            [] => new Finding(check, true, otherwise()),
            [var only] => new Finding(check, false, only),
            [var first, ..] => new Finding(check, false, $"{first.TrimEnd('.')}; and {found.Count - 1:N0} more."),
        };
    }

    /// <summary>A check for which something is missing.</summary>
    public static Finding Unchecked(string check, string why) => new(check, null, why);
}
