using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;
using DistTrain.Training.Tests.Data;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Training.Tests.Tasks;

/// <summary>What the built-in tasks answer, from models whose answers are known.</summary>
[Collection(AloneInProcess.Name)]
public sealed class PredictTests
{
    private const int Window = 3;

    [Fact]
    public void A_text_is_continued_after_the_prompt_and_the_window_slides()
    {
        using var task = Text();
        using var model = new Successor((0xC3, 0xA9), (0xA9, 0xC3));

        Assert.Equal("zéé", Ask(task, model, new PredictRequest { Prompt = "zé", Length = 2, Temperature = 0 }));
        Assert.Equal("éééé", Ask(task, model, new PredictRequest { Prompt = "éé", Length = 4, Temperature = 0 }));
        Assert.Equal(Window, model.Longest);
    }

    [Fact]
    public void Without_a_prompt_the_text_begins_after_a_line_break()
    {
        using var task = Text();
        using var model = new Successor(('\n', 'a'), ('a', 'b'), ('b', '\n'));

        Assert.Equal("ab\na", Ask(task, model, new PredictRequest { Length = 4, Temperature = 0 }));
        Assert.Equal("ab\na", Ask(task, model, new PredictRequest { Prompt = "", Length = 4, Temperature = 0 }));
        Assert.Equal("", Ask(task, model, new PredictRequest { Length = 0 }));
    }

    [Fact]
    public void Bytes_that_are_no_text_are_replaced()
    {
        using var task = Text();
        using var model = new Successor(('a', 0xC3), (0xC3, 'b'), ('b', 0xC3));

        Assert.Equal("a\uFFFDb\uFFFD", Ask(task, model, new PredictRequest { Prompt = "a", Length = 3, Temperature = 0 }));
    }

    [Fact]
    public void Characters_that_a_terminal_obeys_are_replaced()
    {
        using var task = Text();
        using var model = new Successor(('a', 0x1B), (0x1B, '\t'), ('\t', '\r'), ('\r', 0xC2), (0xC2, 0x9B), (0x9B, '\n'), ('\n', 'b'));

        Assert.Equal("a\uFFFD\t\uFFFD\uFFFD\nb", Ask(task, model, new PredictRequest { Prompt = "a", Length = 7, Temperature = 0 }));
    }

    [Fact]
    public void Bytes_are_drawn_by_their_probability_and_a_seed_repeats_them()
    {
        using var task = Text();
        using var model = new Scores(('a', 1), ('b', 0));
        var request = new PredictRequest { Length = 4000, Temperature = 0.5 };
        var text = Ask(task, model, request);

        // At 0.5 the odds are e^2 to 1: 0.881 of the bytes are a, with a standard deviation of 0.005.
        Assert.Equal(4000, text.Length);
        Assert.InRange(text.Count(c => c == 'a') / 4000.0, 0.86, 0.90);
        Assert.Equal(4000, text.Count(c => c is 'a' or 'b'));
        Assert.Equal(text, Ask(task, model, request));
        Assert.NotEqual(text, Ask(task, model, request with { Seed = 2 }));
        Assert.Equal(new string('a', 50), Ask(task, model, request with { Length = 50, Temperature = 0 }));
    }

    [Fact]
    public void Images_are_named_with_their_probability_and_the_truth_where_it_is_known()
    {
        using var folder = new TemporaryFolder();
        foreach (var (name, bytes) in IdxBytes.Folder())
        {
            folder.Write(name, bytes);
        }

        using var task = Images(folder.Path);
        using var model = new Brightness();
        var file = folder.Write("unknown.gz", IdxBytes.Gzip(IdxBytes.Images(2, 2, 3, i => (byte)(i < 6 ? 0 : 255))));

        Assert.Equal(
            "image 0: 2, probability 1.0000, labelled 2\nimage 1: 2, probability 1.0000, labelled 1\n",
            Ask(task, model, new PredictRequest { Count = 2 }));
        Assert.Equal(
            "image 0: 0, probability 1.0000\nimage 1: 2, probability 1.0000\n",
            Ask(task, model, new PredictRequest { Input = file }));
        var fields = Pieces(task, model, new PredictRequest { Count = 2 }).Last().Fields!;
        Assert.Equal((1L, 2L, 1.0, 1L), ((long)fields["image"], (long)fields["label"], (double)fields["probability"], (long)fields["trueLabel"]));
        Assert.DoesNotContain("trueLabel", Pieces(task, model, new PredictRequest { Input = file }).First().Fields!);
        Assert.Contains(
            "holds images of 3 x 2 pixels and the model was trained on 2 x 3",
            Assert.Throws<DataException>(() => Ask(task, model, new PredictRequest { Input = folder.Write("turned", IdxBytes.Images(1, 3, 2)) })).Message,
            StringComparison.Ordinal);
        Assert.Throws<DataException>(() => Ask(task, model, new PredictRequest { Input = folder.Path + "/nothing" }));
    }

    [Fact]
    public void An_answer_leaves_no_tensor()
    {
        using var task = Text();
        using var model = task.BuildModel();
        Ask(task, model, new PredictRequest { Length = 2 });
        var before = Tensor.TotalCount;
        Ask(task, model, new PredictRequest { Length = 50 });

        Assert.True(Tensor.TotalCount <= before);
    }

    private static string Ask(ITrainingTask task, nn.Module model, PredictRequest request) =>
        string.Concat(Pieces(task, model, request).Select(p => p.Text));

    private static IEnumerable<Prediction> Pieces(ITrainingTask task, nn.Module model, PredictRequest request) =>
        Assert.IsType<IPredictor>(task, exactMatch: false).Predict(model, request);

    private static ITrainingTask Text() => Create(
        ("task", "language-model"), ("model.name", "gpt"), ("model.window", $"{Window}"), ("model.width", "8"), ("model.layers", "1"), ("model.heads", "1"),
        ("data.name", "devils-dictionary"));

    private static ITrainingTask Images(string folder) =>
        Create(("task", "image-classification"), ("model.name", "mlp"), ("data.name", "idx"), ("data.path", folder));

    private static ITrainingTask Create(params (string Key, string Value)[] values)
    {
        var (options, problems) = OptionsReader.ReadRun(values.Append(("stop.epochs", "1")).ToDictionary(v => v.Item1, v => v.Item2));
        Assert.Empty(problems);
        Assert.Empty(BuiltInTasks.Catalog().Check(options));
        return BuiltInTasks.Catalog().Create(options);
    }

    /// <summary>After each byte one other follows, surely.</summary>
    private sealed class Successor(params (int Byte, int Next)[] pairs) : nn.Module<Tensor, Tensor>(nameof(Successor))
    {
        public long Longest { get; private set; }

        public override Tensor forward(Tensor input)
        {
            Longest = Math.Max(Longest, input.shape[1]);
            var next = pairs.Single(p => p.Byte == input[0, -1].ToInt64()).Next;
            return nn.functional.one_hot(full_like(input, next), 256).to(float32);
        }
    }

    /// <summary>The same logits after whatever was read; bytes that are not listed have none to speak of.</summary>
    private sealed class Scores(params (int Byte, float Logit)[] scores) : nn.Module<Tensor, Tensor>(nameof(Scores))
    {
        public override Tensor forward(Tensor input)
        {
            var logits = full([1, input.shape[1], 256], -100f);
            foreach (var (value, logit) in scores)
            {
                logits[0, -1, value] = logit;
            }

            return logits;
        }
    }

    /// <summary>Dark images are 0, bright ones 2.</summary>
    private sealed class Brightness() : nn.Module<Tensor, Tensor>(nameof(Brightness))
    {
        public override Tensor forward(Tensor input)
        {
            var bright = input.mean([1, 2, 3]) * 1000;
            return stack([-bright, zeros_like(bright) - 1e6f, bright], 1);
        }
    }
}
