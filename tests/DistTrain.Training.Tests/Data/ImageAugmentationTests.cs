using DistTrain.Training.Data;
using TorchSharp;

namespace DistTrain.Training.Tests.Data;

/// <summary>Random changes of training images: functions of the key alone.</summary>
public sealed class ImageAugmentationTests
{
    private static readonly ImageDataset Digits = Training.Data.Digits.Load().Training;

    [Fact]
    public void The_same_key_gives_the_same_image_in_any_company()
    {
        var data = Digits.With(new ImageAugmentation(Shift: 2, Flip: true, Noise: 0.3));

        var together = Load(data, [5, 9, 5], [11, 12, 13]);
        Assert.Equal(together[..64], Load(data, [5], [11]));
        Assert.Equal(together[128..], Load(data, [5], [13]));
        Assert.NotEqual(together[..64], together[128..]);
    }

    [Fact]
    public void Evaluation_sees_images_as_they_are()
    {
        using var plain = Digits.Load([7]);
        using var changed = Digits.With(new ImageAugmentation(2, true, 1)).Load([7]);

        Assert.Equal(plain.Inputs.data<float>().ToArray(), changed.Inputs.data<float>().ToArray());
    }

    [Fact]
    public void A_shift_moves_and_a_flip_mirrors_and_nothing_else()
    {
        using var plain = Digits.Load([3]);
        var image = plain.Inputs.data<float>().ToArray();
        var allowed = new HashSet<string>();
        foreach (var flip in new[] { false, true })
        {
            for (var down = -1; down <= 1; down++)
            {
                for (var right = -1; right <= 1; right++)
                {
                    allowed.Add(Text(Moved(image, flip, down, right)));
                }
            }
        }

        var data = Digits.With(new ImageAugmentation(Shift: 1, Flip: true, Noise: 0));
        var seen = Enumerable.Range(0, 500).Select(key => Text(Load(data, [3], [(ulong)key]))).ToHashSet();
        Assert.Equal(allowed.Order(), seen.Order());
    }

    [Fact]
    public void Noise_has_the_deviation_it_is_given()
    {
        using var plain = Digits.Load([3]);
        var image = plain.Inputs.data<float>().ToArray();
        var data = Digits.With(new ImageAugmentation(0, false, Noise: 0.5));
        var noise = Enumerable.Range(0, 400).SelectMany(key => Load(data, [3], [(ulong)key]).Zip(image, (a, b) => (double)(a - b))).ToArray();

        Assert.InRange(noise.Average(), -0.01, 0.01);
        Assert.InRange(Math.Sqrt(noise.Average(x => x * x)), 0.49, 0.51);
    }

    private static float[] Moved(float[] image, bool flip, int down, int right)
    {
        var moved = Enumerable.Repeat(image[0], image.Length).ToArray();
        for (var y = 0; y < 8; y++)
        {
            for (var x = 0; x < 8; x++)
            {
                var (fromY, fromX) = (y - down, (flip ? 7 - x : x) - right);
                if (fromY is >= 0 and < 8 && fromX is >= 0 and < 8)
                {
                    moved[(y * 8) + x] = image[(fromY * 8) + fromX];
                }
            }
        }

        return moved;
    }

    private static string Text(float[] image) => string.Join(' ', image);

    private static float[] Load(ImageDataset data, long[] samples, ulong[] keys)
    {
        using var batch = data.LoadForTraining(samples, keys);
        return batch.Inputs.data<float>().ToArray();
    }
}
