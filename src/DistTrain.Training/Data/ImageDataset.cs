using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Data;

/// <summary>Training and validation images of one origin: the same size, the same classes, no image in both.</summary>
/// <param name="Training">The images that are trained on.</param>
/// <param name="Validation">The images that are evaluated.</param>
public sealed record ImageData(ImageDataset Training, ImageDataset Validation);

/// <summary>
/// Grey images and their classes, held as bytes in managed memory. <see cref="Load(ReadOnlySpan{long})"/> and its companion are the only members that touch
/// torch.
/// </summary>
/// <remarks>
/// Pixels are normalised by a table of 256 floats that is computed in float64 and rounded once, so that the same bytes
/// give the same bits on every machine, whatever the width of its vector registers.
/// </remarks>
public sealed class ImageDataset : IDataset
{
    private readonly byte[] _pixels;
    private readonly byte[] _labels;
    private readonly float[] _normalised = new float[256];
    private readonly Lazy<string> _fingerprint;

    /// <summary>Takes over the arrays; they must not be changed afterwards.</summary>
    /// <param name="pixels">[n, 1, height, width], row by row.</param>
    /// <param name="labels">[n], each 0..classes - 1.</param>
    /// <param name="height">Rows of an image, at least 1.</param>
    /// <param name="width">Columns of an image, at least 1.</param>
    /// <param name="classes">How many classes there are, 1..256.</param>
    /// <param name="scale">How bytes become inputs.</param>
    public ImageDataset(byte[] pixels, byte[] labels, int height, int width, int classes, PixelScale scale)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(height, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(width, 1);
        ArgumentOutOfRangeException.ThrowIfLessThan(classes, 1);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(classes, 256);
        ArgumentOutOfRangeException.ThrowIfNotEqual(pixels.LongLength, (long)labels.Length * height * width);
        _pixels = pixels;
        _labels = labels;
        Height = height;
        Width = width;
        Classes = classes;
        ClassNames = [.. Enumerable.Range(0, classes).Select(c => $"{c}")];
        for (var value = 0; value < _normalised.Length; value++)
        {
            _normalised[value] = (float)((value - scale.Mean) / scale.Deviation);
        }

        _fingerprint = new Lazy<string>(Hash);
    }

    private ImageDataset(ImageDataset form, byte[] pixels)
    {
        (_pixels, _labels, _normalised) = (pixels, new byte[pixels.Length / (form.Height * form.Width)], form._normalised);
        (Height, Width, Classes) = (form.Height, form.Width, form.Classes);
        ClassNames = form.ClassNames;
        _fingerprint = new Lazy<string>(Hash);
    }

    private ImageDataset(ImageDataset source, ImageAugmentation augmentation, IReadOnlyList<string> classNames)
    {
        (_pixels, _labels, _normalised, _fingerprint) = (source._pixels, source._labels, source._normalised, source._fingerprint);
        (Height, Width, Classes, Augmentation) = (source.Height, source.Width, source.Classes, augmentation);
        ClassNames = classNames;
    }

    /// <inheritdoc/>
    public long Count => _labels.Length;

    /// <summary>Rows of an image.</summary>
    public int Height { get; }

    /// <summary>Columns of an image.</summary>
    public int Width { get; }

    /// <summary>How many classes there are; labels are 0..Classes - 1.</summary>
    public int Classes { get; }

    /// <summary>What the classes are called: by number, where the data have no names for them.</summary>
    public IReadOnlyList<string> ClassNames { get; }

    /// <summary>The class of every image, [n].</summary>
    public ReadOnlySpan<byte> Labels => _labels;

    /// <summary>The bytes of one image, [height, width].</summary>
    public ReadOnlySpan<byte> Pixels(int image) => _pixels.AsSpan(image * Height * Width, Height * Width);

    /// <summary>
    /// SHA-256 over count, height, width and classes (each 8 bytes, little endian), pixels and labels.
    /// </summary>
    public string Fingerprint => _fingerprint.Value;

    /// <summary>How <see cref="LoadForTraining"/> changes images.</summary>
    public ImageAugmentation Augmentation { get; } = ImageAugmentation.None;

    /// <inheritdoc/>
    /// <returns>Inputs: fp32 [n, 1, height, width]; targets: int64 [n].</returns>
    public TensorBatch Load(ReadOnlySpan<long> samples) => Load(samples, []);

    /// <inheritdoc/>
    /// <returns>Inputs: fp32 [n, 1, height, width]; targets: int64 [n].</returns>
    public TensorBatch LoadForTraining(ReadOnlySpan<long> samples, ReadOnlySpan<ulong> keys) =>
        Load(samples, Augmentation == ImageAugmentation.None ? [] : keys);

    /// <summary>The same images, changed at random when they are trained on.</summary>
    public ImageDataset With(ImageAugmentation augmentation) => new(this, augmentation, ClassNames);

    /// <summary>The same images, their classes called by name.</summary>
    /// <param name="classNames">A name for each class.</param>
    public ImageDataset With(IReadOnlyList<string> classNames)
    {
        ArgumentOutOfRangeException.ThrowIfNotEqual(classNames.Count, Classes);
        return new ImageDataset(this, Augmentation, classNames);
    }

    /// <summary>Other images of this form, scaled alike, of which nobody knows the class: all labels are 0.</summary>
    /// <param name="path">An IDX file of images, plain or gzipped.</param>
    /// <exception cref="DataException">The file is missing, damaged, or its images are of another size.</exception>
    public ImageDataset Unlabelled(string path)
    {
        var images = IdxFile.ReadImages(path);
        return images.Dimensions is [_, var height, var width] && height == Height && width == Width
            ? new ImageDataset(this, images.Bytes)
            : throw new DataException(
                $"{path} holds images of {images.Dimensions[1]} x {images.Dimensions[2]} pixels and the model was trained on {Height} x {Width}: name a file of such images.");
    }

    private TensorBatch Load(ReadOnlySpan<long> samples, ReadOnlySpan<ulong> keys)
    {
        foreach (var sample in samples)
        {
            if ((ulong)sample >= (ulong)Count)
            {
                throw new ArgumentOutOfRangeException(nameof(samples), sample, $"Samples are numbered 0 to {Count - 1}.");
            }
        }

        var inputs = empty([samples.Length, 1, Height, Width], ScalarType.Float32);
        var targets = empty([samples.Length], ScalarType.Int64);
        var values = MemoryMarshal.Cast<byte, float>(inputs.bytes);
        var classes = MemoryMarshal.Cast<byte, long>(targets.bytes);
        var size = Height * Width;
        for (var i = 0; i < samples.Length; i++)
        {
            var sample = (int)samples[i];
            if (keys.IsEmpty)
            {
                Normalise(Pixels(sample), values.Slice(i * size, size));
            }
            else
            {
                Augmentation.Apply(keys[i], Pixels(sample), _normalised, Width, values.Slice(i * size, size));
            }

            classes[i] = _labels[sample];
        }

        return new TensorBatch(inputs, targets);
    }

    private void Normalise(ReadOnlySpan<byte> pixels, Span<float> values)
    {
        ReadOnlySpan<float> table = _normalised;
        for (var i = 0; i < values.Length; i++)
        {
            values[i] = table[pixels[i]];
        }
    }

    private string Hash()
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> word = stackalloc byte[sizeof(long)];
        foreach (var dimension in (ReadOnlySpan<long>)[Count, Height, Width, Classes])
        {
            BinaryPrimitives.WriteInt64LittleEndian(word, dimension);
            hash.AppendData(word);
        }

        hash.AppendData(_pixels);
        hash.AppendData(_labels);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }
}
