using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using System.Globalization;
using DistTrain.Core.Data;
using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Models;
using DistTrain.Training.Tasks;
using TorchSharp;
using static TorchSharp.torch;

namespace DistTrain.Cli.Tasks;

/// <summary>The keys of <c>model</c>.</summary>
public sealed record ImageModelOptions
{
    [Description("mlp, cnn or resnet"), AllowedValues("mlp", "cnn", "resnet")]
    public string Name { get; init; } = "mlp";

    [Description("width of the hidden layers; when not set, 256 for mlp and 128 for cnn"), Range(1, 65_536)]
    public int? Hidden { get; init; }

    [Description("probability that a hidden value is dropped; resnet drops none"), Range(0.0, 0.95)]
    public double Dropout { get; init; }

    [Description("normalisation of resnet: batch or group"), AllowedValues("batch", "group")]
    public string Norm { get; init; } = "batch";

    [Description("channels of resnet's first stage, a multiple of 4"), Range(4, 1024)]
    public int Width { get; init; } = 16;

    [Description("blocks of each of resnet's three stages"), Range(1, 64)]
    public int Depth { get; init; } = 1;
}

/// <summary>The keys of <c>data</c>.</summary>
public sealed record ImageDataOptions : IOptionRelations, IDataFiles
{
    [Description("digits, fashion-mnist or idx"), AllowedValues("digits", "fashion-mnist", "idx")]
    public string Name { get; init; } = "digits";

    [Description("folder with the four files of fashion-mnist or idx; when not set, fashion-mnist is found or downloaded")]
    public string? Path { get; init; }

    [Description("most pixels a training image is moved at random"), Range(0, 64)]
    public int Shift { get; init; }

    [Description("exchange left and right of every second training image")]
    public bool Flip { get; init; }

    [Description("standard deviation of noise added to normalised training images"), Range(0.0, 100.0)]
    public double Noise { get; init; }

    /// <inheritdoc/>
    public IEnumerable<OptionProblem> Validate()
    {
        if (Name == "idx" && string.IsNullOrEmpty(Path))
        {
            yield return OptionProblem.Missing("path", $"set it to the folder with {string.Join(", ", IdxFolder.Names)}");
        }
        else if (Name == "digits" && !string.IsNullOrEmpty(Path))
        {
            yield return new OptionProblem("path", Path, $"has no effect with data.name {Name}; set data.name to idx or fashion-mnist");
        }
    }

    /// <inheritdoc/>
    /// <remarks>Whatever else lies in the folder is nobody's business. Digits come with the program: their path is refused before anybody asks.</remarks>
    public DataFiles Find(string? path)
    {
        var folder = Name == "fashion-mnist" ? new FashionMnist().Find(path) : path!;
        return new DataFiles(folder, [.. IdxFolder.Paths(folder).Select(System.IO.Path.GetFileName)!]);
    }
}

/// <summary>Images are told apart by class. Cross entropy; metric <c>accuracy</c>, of many classes <c>top5Accuracy</c>, and the confusions of a few.</summary>
internal sealed class ImageClassification : ITrainingTask, IPredictor
{
    /// <summary>A table of more is not read by people, and its sums travel with every block.</summary>
    private const int MostConfused = 32;

    private const int Top = 5;

    private readonly ImageModelOptions _model;
    private readonly ImageDataset _training;
    private readonly ImageDataset _validation;

    public ImageClassification(TaskContext<ImageModelOptions, ImageDataOptions> context)
    {
        _model = context.Model;
        (_training, _validation) = Open(context.Data);
        _training = _training.With(new ImageAugmentation(context.Data.Shift, context.Data.Flip, context.Data.Noise));
        Metrics = _training.Classes > Top ? ["accuracy", "top5Accuracy"] : ["accuracy"];
        Classes = _training.Classes <= MostConfused ? _training.ClassNames : [];
        if (_model.Name == "cnn" && Math.Min(_training.Height, _training.Width) < Cnn.SmallestSide)
        {
            throw new DataException(
                $"The images of {context.Data.Path} have {_training.Height} x {_training.Width} pixels and the model cnn "
                + $"needs {Cnn.SmallestSide} x {Cnn.SmallestSide}: set model.name to mlp.");
        }
    }

    public IDataset Training => _training;

    public IDataset Validation => _validation;

    /// <summary>Where there are no more than five classes, the right one is always among the first five.</summary>
    public IReadOnlyList<string> Metrics { get; }

    public IReadOnlyList<string> Classes { get; }

    public IReadOnlyCollection<string> Takes { get; } = [nameof(PredictRequest.Input), nameof(PredictRequest.Count)];

    public nn.Module BuildModel() => _model.Name switch
    {
        "cnn" => new Cnn(_training.Height, _training.Width, _training.Classes, _model.Hidden ?? 128, _model.Dropout),
        "resnet" => new ResNet(
            _training.Classes, _model.Width / 4 * 4, _model.Depth, _model.Norm == "group" ? NormKind.Group : NormKind.Batch),
        _ => new Mlp((long)_training.Height * _training.Width, _training.Classes, _model.Hidden ?? 256, _model.Dropout),
    };

    public LossSum Loss(nn.Module model, TensorBatch batch)
    {
        using var scope = NewDisposeScope();
        var logits = ((nn.Module<Tensor, Tensor>)model).call(batch.Inputs);
        return SumOf(logits, batch);
    }

    public LossSum Evaluate(nn.Module model, TensorBatch batch, Span<double> metrics)
    {
        using var scope = NewDisposeScope();
        using var noGradient = no_grad();
        var logits = ((nn.Module<Tensor, Tensor>)model).call(batch.Inputs);
        var answers = logits.argmax(1);
        metrics[0] += answers.eq(batch.Targets).sum().ToInt64();
        if (_training.Classes > Top)
        {
            metrics[1] += logits.topk(Top, 1).indexes.eq(batch.Targets.unsqueeze(1)).sum().ToInt64();
        }

        Count(metrics[Metrics.Count..], batch.Targets, answers);
        return SumOf(logits, batch);
    }

    public IEnumerable<Prediction> Predict(nn.Module model, PredictRequest request)
    {
        var images = request.Input is { } path ? _validation.Unlabelled(path) : _validation;
        for (var image = 0L; image < Math.Min(request.Count, images.Count); image++)
        {
            var (label, probability, truth) = Answer((nn.Module<Tensor, Tensor>)model, images, image);
            var line = string.Create(CultureInfo.InvariantCulture, $"image {image}: {label}, probability {probability:0.0000}");
            var fields = new Dictionary<string, object> { ["image"] = image, ["label"] = label, ["probability"] = probability };
            if (request.Input is null)
            {
                line += $", labelled {truth}";
                fields["trueLabel"] = truth;
            }

            yield return new Prediction($"{line}\n", fields);
        }
    }

    public void Dispose()
    {
    }

    private static (long Label, double Probability, long Truth) Answer(nn.Module<Tensor, Tensor> model, ImageDataset images, long image)
    {
        using var scope = NewDisposeScope();
        using var batch = images.Load([image]);
        var probabilities = nn.functional.softmax(model.call(batch.Inputs), 1)[0];
        var label = probabilities.argmax().ToInt64();
        return (label, probabilities[label].ToDouble(), batch.Targets[0].ToInt64());
    }

    /// <summary>Counts what was taken for what, where the classes are few.</summary>
    private void Count(Span<double> confusions, Tensor truths, Tensor answers)
    {
        if (confusions.IsEmpty)
        {
            return;
        }

        using var cells = (truths * _training.Classes + answers).cpu();
        foreach (var cell in cells.data<long>())
        {
            confusions[(int)cell]++;
        }
    }

    private static LossSum SumOf(Tensor logits, TensorBatch batch)
    {
        var loss = nn.functional.cross_entropy(logits, batch.Targets, reduction: nn.Reduction.Sum);
        return new LossSum(loss.MoveToOuterDisposeScope(), batch.Targets.shape[0]);
    }

    private static ImageData Open(ImageDataOptions data) => data.Name switch
    {
        "fashion-mnist" => new FashionMnist().Load(data.Path),
        "idx" => IdxFolder.Load(data.Path!),
        _ => Digits.Load(),
    };
}
