using DistTrain.Training.Data;
using TorchSharp;

namespace DistTrain.Training.Tests.Data;

/// <summary>The embedded data and their split: fixed, disjoint, balanced.</summary>
public sealed class DigitsTests
{
    private readonly ImageData _digits = Digits.Load();

    [Fact]
    public void There_are_1437_training_and_360_validation_images_of_8_by_8_pixels()
    {
        Assert.Equal((1437, 360), (_digits.Training.Count, _digits.Validation.Count));
        Assert.All([_digits.Training, _digits.Validation], d => Assert.Equal((8, 8, 10), (d.Height, d.Width, d.Classes)));
    }

    [Fact]
    public void The_parts_share_no_image()
    {
        var training = Images(_digits.Training).ToHashSet();
        var validation = Images(_digits.Validation).ToHashSet();

        // All images of the file differ, so equal content would mean the same line.
        Assert.Equal(1437 + 360, training.Count + validation.Count);
        Assert.DoesNotContain(validation, training.Contains);
    }

    [Fact]
    public void Every_digit_has_its_fifth_in_the_validation_part_to_within_one_image()
    {
        var training = Count(_digits.Training);
        var validation = Count(_digits.Validation);

        Assert.All(Enumerable.Range(0, 10), d => Assert.InRange(validation[d] - (training[d] + validation[d]) / 5.0, -1, 1));
        // Of the source's documentation.
        Assert.Equal(
            [178, 182, 177, 183, 181, 182, 181, 179, 174, 180],
            Enumerable.Range(0, 10).Select(d => training[d] + validation[d]));
    }

    [Fact]
    public void The_content_and_the_split_never_change()
    {
        Assert.Equal("0e988a7d08e0d2170df53a145802db61e3fd3af5afefea72276a42f639bb64c9", _digits.Training.Fingerprint);
        Assert.Equal("be6b0ded18dfa8d195be9bc4259cdf2638beadf651d83223dfff66e3cdd3fecd", _digits.Validation.Fingerprint);
    }

    [Fact]
    public void Training_inputs_have_mean_0_and_deviation_1()
    {
        using var all = _digits.Training.Load([.. Enumerable.Range(0, 1437).Select(i => (long)i)]);

        Assert.Equal(0, all.Inputs.mean().ToSingle(), 0.01);
        Assert.Equal(1, all.Inputs.std(unbiased: false).ToSingle(), 0.01);
    }

    private static IEnumerable<string> Images(ImageDataset data) =>
        Enumerable.Range(0, (int)data.Count).Select(i => Convert.ToHexString(data.Pixels(i)));

    private static int[] Count(ImageDataset data)
    {
        var counts = new int[data.Classes];
        foreach (var label in data.Labels)
        {
            counts[label]++;
        }

        return counts;
    }
}
