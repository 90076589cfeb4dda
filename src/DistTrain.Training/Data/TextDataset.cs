using System.IO.Compression;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Data;

/// <summary>Training and validation part of one text: the first nine tenths and the rest.</summary>
/// <param name="Training">The bytes that are trained on.</param>
/// <param name="Validation">The bytes that are evaluated.</param>
public sealed record TextData(TextDataset Training, TextDataset Validation)
{
    private const long LargestFile = 1L << 30;

    /// <summary>
    /// A. Bierce, "The Devil's Dictionary" (1911), embedded in this library. In the public domain, its copyright has expired; the Internet Wiretap edition
    /// of 1993, without its header. 382 kB of ASCII.
    /// </summary>
    /// <param name="window">Bytes a sample predicts, at least 1.</param>
    public static TextData DevilsDictionary(int window)
    {
        using var packed = typeof(TextData).Assembly.GetManifestResourceStream("devils-dictionary.txt.gz")
            ?? throw new InvalidOperationException("devils-dictionary.txt.gz is not embedded in this build.");
        using var text = new MemoryStream();
        using (var unpacked = new GZipStream(packed, CompressionMode.Decompress))
        {
            unpacked.CopyTo(text);
        }

        return Split(text.ToArray(), window);
    }

    /// <summary>A file's bytes, whatever they are.</summary>
    /// <param name="path">The file.</param>
    /// <param name="window">Bytes a sample predicts, at least 1.</param>
    /// <exception cref="DataException">The file is missing, unreadable, too small or too large.</exception>
    public static TextData FromFile(string path, int window)
    {
        if (Directory.Exists(path))
        {
            throw new DataException($"{path} is a folder: set data.path to a text file.");
        }

        try
        {
            var length = new FileInfo(path).Length;
            return length switch
            {
                < 20 => throw new DataException($"{path} holds {length} bytes, too few to train on and to evaluate: give data.path a longer text."),
                > LargestFile => throw new DataException($"{path} holds {length} bytes, at most {LargestFile} are read: give data.path a part of it."),
                _ => Split(File.ReadAllBytes(path), window),
            };
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new DataException($"{path} cannot be read: {e.Message} Set data.path to a text file that can be.", e);
        }
    }

    private static TextData Split(byte[] text, int window)
    {
        var cut = (int)(text.Length * 9L / 10);
        return new TextData(new TextDataset(text.AsMemory(0, cut), window), new TextDataset(text.AsMemory(cut), window));
    }
}

/// <summary>
/// Consecutive windows of a text. Sample i reads the bytes from i * window on and predicts, for each, the one that follows; every byte but the first is
/// predicted exactly once. The last window is shorter and is filled up with targets that do not count.
/// </summary>
public sealed class TextDataset : IDataset
{
    /// <summary>The target that does not count, torch's own default for <c>ignore_index</c>.</summary>
    public const long Ignored = -100;

    private readonly ReadOnlyMemory<byte> _text;
    private readonly int _window;
    private readonly Lazy<string> _fingerprint;

    /// <summary>Windows of a text, which must not change afterwards.</summary>
    /// <param name="text">At least two bytes.</param>
    /// <param name="window">Bytes a sample predicts, at least 1.</param>
    public TextDataset(ReadOnlyMemory<byte> text, int window)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(text.Length, 2);
        ArgumentOutOfRangeException.ThrowIfLessThan(window, 1);
        _text = text;
        _window = window;
        _fingerprint = new Lazy<string>(() => $"{Convert.ToHexStringLower(SHA256.HashData(_text.Span))}/{_window}");
    }

    /// <inheritdoc/>
    public long Count => (_text.Length - 2) / _window + 1;

    /// <summary>SHA-256 of the text, and the window.</summary>
    public string Fingerprint => _fingerprint.Value;

    /// <inheritdoc/>
    /// <returns>Inputs and targets: int64 [n, window].</returns>
    public TensorBatch Load(ReadOnlySpan<long> samples)
    {
        var inputs = zeros([samples.Length, _window], ScalarType.Int64);
        var targets = full([samples.Length, _window], Ignored, ScalarType.Int64);
        var read = MemoryMarshal.Cast<byte, long>(inputs.bytes);
        var predict = MemoryMarshal.Cast<byte, long>(targets.bytes);
        for (var i = 0; i < samples.Length; i++)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(samples[i]);
            ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual(samples[i], Count);
            var first = (int)(samples[i] * _window);
            var bytes = _text.Span[first..Math.Min(first + _window + 1, _text.Length)];
            for (var at = 0; at < bytes.Length - 1; at++)
            {
                read[(i * _window) + at] = bytes[at];
                predict[(i * _window) + at] = bytes[at + 1];
            }
        }

        return new TensorBatch(inputs, targets);
    }
}
