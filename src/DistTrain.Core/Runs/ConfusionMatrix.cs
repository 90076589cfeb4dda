using System.Globalization;

namespace DistTrain.Core.Runs;

/// <summary>How often each class was taken for each in an evaluation.</summary>
/// <param name="Classes">Their names.</param>
/// <param name="Counts">A row for each class that samples have, a column for each that the model gave them.</param>
public sealed record ConfusionMatrix(IReadOnlyList<string> Classes, IReadOnlyList<IReadOnlyList<long>> Counts)
{
    /// <summary>The mistakes that were made, the most frequent first; of equals in the classes' order.</summary>
    public IEnumerable<(string Class, string TakenFor, long Count, long Of)> Mistakes() =>
        from row in Enumerable.Range(0, Classes.Count)
        from column in Enumerable.Range(0, Classes.Count)
        where row != column && Counts[row][column] > 0
        orderby Counts[row][column] descending, row, column
        select (Classes[row], Classes[column], Counts[row][column], Counts[row].Sum());

    /// <summary>The most frequent mistakes in words; that there are none, where there are none.</summary>
    /// <param name="most">How many are told at most.</param>
    public string Sentence(int most)
    {
        var told = Mistakes().Take(most).Select(m => string.Create(CultureInfo.InvariantCulture, $"{m.Class} for {m.TakenFor} ({m.Count:N0} of {m.Of:N0})")).ToList();
        return told.Count == 0 ? "no sample was taken for another class" : string.Join(", ", told);
    }
}
