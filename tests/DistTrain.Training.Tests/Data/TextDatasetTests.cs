using System.Text;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;
using TorchSharp;

namespace DistTrain.Training.Tests.Data;

/// <summary>Windows of a text: every byte but the first is predicted exactly once.</summary>
public sealed class TextDatasetTests
{
    [Theory]
    [InlineData(2, 1)]
    [InlineData(10, 3)]
    [InlineData(10, 9)]
    [InlineData(10, 100)]
    [InlineData(257, 16)]
    public void Every_byte_but_the_first_is_predicted_once_by_the_one_before_it(int length, int window)
    {
        var text = Enumerable.Range(0, length).Select(i => (byte)(i * 37)).ToArray();
        var data = new TextDataset(text, window);
        using var batch = data.Load([.. Enumerable.Range(0, (int)data.Count).Select(i => (long)i)]);
        var inputs = batch.Inputs.data<long>().ToArray();
        var targets = batch.Targets.data<long>().ToArray();
        var pairs = inputs.Zip(targets).Where(p => p.Second != TextDataset.Ignored).ToArray();

        Assert.Equal([data.Count, window], batch.Inputs.shape);
        Assert.Equal(text.Skip(1).Select(b => (long)b), pairs.Select(p => p.Second));
        Assert.Equal(text.SkipLast(1).Select(b => (long)b), pairs.Select(p => p.First));
    }

    [Fact]
    public void The_embedded_text_is_the_one_that_runs_were_made_with()
    {
        var text = TextData.DevilsDictionary(window: 128);

        Assert.Equal((2_691, 299), (text.Training.Count, text.Validation.Count));
        Assert.StartsWith("PREFACE", Encoding.ASCII.GetString([.. Bytes(text.Training, 0)]).Trim(), StringComparison.Ordinal);
        Assert.NotEqual(text.Training.Fingerprint, TextData.DevilsDictionary(window: 64).Training.Fingerprint);

        static IEnumerable<byte> Bytes(TextDataset data, long window)
        {
            using var batch = data.Load([window]);
            return [.. batch.Inputs.data<long>().ToArray().Select(b => (byte)b)];
        }
    }

    [Fact]
    public void A_text_that_cannot_be_used_is_refused_by_a_sentence()
    {
        using var folder = new TestKit.TemporaryFolder();
        File.WriteAllText(folder.At("short.txt"), "too short");

        Assert.Contains("9 bytes, too few", Refused("short.txt"), StringComparison.Ordinal);
        Assert.Contains("cannot be read", Refused("missing.txt"), StringComparison.Ordinal);
        Assert.EndsWith("is a folder: set data.path to a text file.", Refused("."), StringComparison.Ordinal);

        string Refused(string name) => Assert.Throws<DataException>(() => TextData.FromFile(folder.At(name), 16)).Message;
    }
}
