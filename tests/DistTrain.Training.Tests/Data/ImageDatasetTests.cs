using System.Security.Cryptography;
using CsCheck;
using DistTrain.Training.Data;
using TorchSharp;

namespace DistTrain.Training.Tests.Data;

/// <summary>
/// Reading samples by number: the right ones, in order, with the same bits every time, and nothing left behind.
/// </summary>
[Collection(AloneInProcess.Name)]
public sealed class ImageDatasetTests
{
    private static readonly ImageDataset Digits = Training.Data.Digits.Load().Training;

    [Fact]
    public void A_batch_has_a_channel_and_floats_and_whole_targets()
    {
        using var batch = Digits.Load([3, 1, 4]);

        Assert.Equal([3, 1, 8, 8], batch.Inputs.shape);
        Assert.Equal(torch.ScalarType.Float32, batch.Inputs.dtype);
        Assert.Equal([3], batch.Targets.shape);
        Assert.Equal(torch.ScalarType.Int64, batch.Targets.dtype);
    }

    [Fact]
    public void Any_samples_in_any_order_are_what_the_bytes_say() =>
        Gen.Long[0, Digits.Count - 1].Array[1, 40].Sample(
            samples =>
            {
                using var batch = Digits.Load(samples);
                var inputs = batch.Inputs.data<float>().ToArray();
                var targets = batch.Targets.data<long>().ToArray();
                for (var i = 0; i < samples.Length; i++)
                {
                    var expected = Digits.Pixels((int)samples[i]).ToArray().Select(p => (float)((p - 4.89) / 6.02));
                    Assert.Equal(expected, inputs[(64 * i)..(64 * (i + 1))]);
                    Assert.Equal(Digits.Labels[(int)samples[i]], targets[i]);
                }
            },
            iter: 50,
            threads: 1);

    [Fact]
    public void Loading_the_same_samples_again_gives_the_same_bytes()
    {
        var other = Training.Data.Digits.Load().Training;
        using var first = Digits.Load([7, 7, 1436, 0]);
        using var second = other.Load([7, 7, 1436, 0]);

        Assert.True(first.Inputs.bytes.SequenceEqual(second.Inputs.bytes));
        Assert.True(first.Targets.bytes.SequenceEqual(second.Targets.bytes));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(1437)]
    [InlineData(1L << 32)]
    public void A_number_outside_the_data_is_refused(long sample) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Digits.Load([0, sample]));

    [Fact]
    public void The_fingerprint_is_the_hash_of_dimensions_pixels_and_labels()
    {
        byte[] expected =
        [
            2, 0, 0, 0, 0, 0, 0, 0, /**/ 1, 0, 0, 0, 0, 0, 0, 0, /**/ 3, 0, 0, 0, 0, 0, 0, 0, /**/ 4, 0, 0, 0, 0, 0, 0, 0,
            10, 11, 12, 13, 14, 15, /**/ 3, 0,
        ];

        Assert.Equal(Convert.ToHexStringLower(SHA256.HashData(expected)), Small().Fingerprint);
    }

    [Fact]
    public void Data_that_differ_in_a_pixel_a_label_a_shape_or_a_class_have_other_fingerprints() =>
        Assert.Equal(
            5,
            new[]
            {
                Small(),
                Small(pixels: [10, 11, 12, 13, 14, 16]),
                Small(labels: [3, 1]),
                new ImageDataset([10, 11, 12, 13, 14, 15], [3, 0], 3, 1, 4, new PixelScale(0, 1)),
                new ImageDataset([10, 11, 12, 13, 14, 15], [3, 0], 1, 3, 5, new PixelScale(0, 1)),
            }.Select(d => d.Fingerprint).Distinct().Count());

    [Fact]
    public void A_disposed_batch_leaves_no_tensor()
    {
        Digits.Load([0]).Dispose();
        var before = torch.Tensor.TotalCount;
        for (var i = 0; i < 100; i++)
        {
            Digits.Load([i, i + 1]).Dispose();
        }

        Assert.True(torch.Tensor.TotalCount <= before);
    }

    private static ImageDataset Small(byte[]? pixels = null, byte[]? labels = null) =>
        new(pixels ?? [10, 11, 12, 13, 14, 15], labels ?? [3, 0], 1, 3, 4, new PixelScale(0, 1));
}
