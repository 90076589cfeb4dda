using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

public sealed class EvaluationFormTests
{
    private static readonly EvaluationForm Form = new(["accuracy"]) { Classes = ["cat", "dog", "owl"], HasPerplexity = true };

    [Fact]
    public void Metrics_are_per_sample_and_perplexity_is_the_exponential_of_the_loss()
    {
        var values = Form.Values(loss: 2, weight: 4, [3, .. new double[9]]).ToDictionary();
        Assert.Equal(0.75, values["accuracy"]);
        Assert.Equal(Math.Exp(2), values["perplexity"]);
        Assert.Equal(["accuracy"], new EvaluationForm(["accuracy"]).Values(2, 4, [3]).Select(v => v.Key));
    }

    [Fact]
    public void Behind_the_metrics_a_row_counts_what_a_class_was_taken_for()
    {
        Assert.Equal(10, Form.Sums);
        var confusion = Form.Confusion([3, 5, 1, 0, 4, 6, 0, 0, 0, 7])!;
        Assert.Equal([5, 1, 0], confusion.Counts[0]);
        Assert.Equal([("dog", "cat", 4, 10), ("cat", "dog", 1, 6)], confusion.Mistakes());
        Assert.Equal("dog for cat (4 of 10), cat for dog (1 of 6)", confusion.Sentence(3));
        Assert.Equal("dog for cat (4 of 10)", confusion.Sentence(1));
    }

    [Fact]
    public void Without_mistakes_and_without_classes()
    {
        Assert.Equal("no sample was taken for another class", Form.Confusion([3, 5, 0, 0, 0, 6, 0, 0, 0, 7])!.Sentence(3));
        Assert.Null(new EvaluationForm(["accuracy"]).Confusion([3]));
    }
}
