using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using TorchSharp;

namespace DistTrain.Training.Tests.Data;

/// <summary>Four files are a data set only if they belong together.</summary>
public sealed class IdxFolderTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();
    private readonly Dictionary<string, byte[]> _files = IdxBytes.Folder();

    [Fact]
    public void Four_plain_files_are_a_data_set()
    {
        var (training, validation) = Load();

        Assert.Equal((6, 3), (training.Count, validation.Count));
        Assert.Equal((2, 3, 3), (training.Height, training.Width, training.Classes));
        Assert.Equal(3, validation.Classes);
        Assert.Equal([2, 1, 0], validation.Labels.ToArray());
        Assert.Equal([200, 201, 202, 203, 204, 205], validation.Pixels(0).ToArray());
    }

    [Fact]
    public void Plain_and_gzipped_files_may_stand_side_by_side()
    {
        _files["train-images-idx3-ubyte.gz"] = IdxBytes.Gzip(_files["train-images-idx3-ubyte"]);
        _files.Remove("train-images-idx3-ubyte");

        Assert.Equal(6, Load().Training.Count);
    }

    [Fact]
    public void Both_parts_are_scaled_by_the_training_images_alone()
    {
        var (training, validation) = Load();
        using var all = training.Load([0, 1, 2, 3, 4, 5]);
        using var bright = validation.Load([0]);

        Assert.Equal(0, all.Inputs.mean().ToSingle(), 1e-6);
        Assert.Equal(1, all.Inputs.std(unbiased: false).ToSingle(), 1e-6);
        Assert.True(bright.Inputs.mean().ToSingle() > 5);
    }

    [Theory]
    [InlineData("train-images-idx3-ubyte")]
    [InlineData("train-labels-idx1-ubyte")]
    [InlineData("t10k-images-idx3-ubyte")]
    [InlineData("t10k-labels-idx1-ubyte")]
    public void A_missing_file_is_named(string name)
    {
        _files.Remove(name);

        Refused($"{_folder.Path} holds no {name} (nor {name}.gz)");
    }

    [Fact]
    public void Different_numbers_of_images_and_labels_are_refused()
    {
        _files["train-labels-idx1-ubyte"] = IdxBytes.Labels(0, 1, 2, 0, 1);

        Refused("holds 6 images and", "holds 5 labels");
    }

    [Fact]
    public void A_validation_label_that_no_training_image_has_is_refused()
    {
        _files["t10k-labels-idx1-ubyte"] = IdxBytes.Labels(0, 3, 1);

        Refused("t10k-labels-idx1-ubyte has the label 3 at image 1 and labels are 0 to 2");
    }

    [Fact]
    public void Images_of_two_sizes_are_refused()
    {
        _files["t10k-images-idx3-ubyte"] = IdxBytes.Images(3, 3, 2);

        Refused("holds images of 3 x 2 pixels and", "of 2 x 3");
    }

    [Fact]
    public void A_label_above_the_known_classes_is_refused()
    {
        _files["train-labels-idx1-ubyte"] = IdxBytes.Labels(0, 1, 2, 0, 1, 10);
        Write();

        var error = Assert.Throws<DataException>(() => IdxFolder.Load(_folder.Path, 2, 10, new PixelScale(0, 1)));

        Assert.Contains("has the label 10 at image 5 and labels are 0 to 9", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Images_of_another_size_than_the_known_one_are_refused()
    {
        Write();

        var error = Assert.Throws<DataException>(() => new FashionMnist().Load(_folder.Path));

        Assert.Contains("holds images of 2 x 3 pixels and 28 x 28 were expected", error.Message, StringComparison.Ordinal);
    }

    public void Dispose() => _folder.Dispose();

    private ImageData Load()
    {
        Write();
        return IdxFolder.Load(_folder.Path);
    }

    private void Write()
    {
        foreach (var (name, bytes) in _files)
        {
            _folder.Write(name, bytes);
        }
    }

    private void Refused(params string[] says)
    {
        var error = Assert.Throws<DataException>(Load);
        Assert.All(says, s => Assert.Contains(s, error.Message, StringComparison.Ordinal));
        Assert.EndsWith(".", error.Message, StringComparison.Ordinal);
    }
}
