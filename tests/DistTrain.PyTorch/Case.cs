namespace DistTrain.PyTorch;

/// <summary>One thing that is compared.</summary>
/// <param name="Name">What it is, as it is printed.</param>
/// <param name="Settings">The run's keys; PyTorch's side is given the same.</param>
/// <param name="Ragged">Whether samples have targets of different lengths, and the mean of the micro-batches' means is the control.</param>
/// <param name="Gain">
/// What initial matrices are multiplied by. A GPT begins with matrices so small that what lies between them is as good as linear, and another GELU would
/// not show; with large ones another epsilon of its norms would not.
/// </param>
internal sealed record Case(string Name, IReadOnlyDictionary<string, string> Settings, bool Ragged = false, float Gain = 1)
{
    private const string Sgd = "optimizer.name=sgd optimizer.learningRate=0.05 optimizer.momentum=0.9 optimizer.weightDecay=0.01";
    private const string Adams = "optimizer.learningRate=0.002 optimizer.beta1=0.9 optimizer.beta2=0.99 optimizer.epsilon=1e-8 optimizer.weightDecay=0.1";
    private const string Adam = "optimizer.name=adam " + Adams;
    private const string AdamW = "optimizer.name=adamw " + Adams;
    private const string Images = "task=image-classification data.name=digits stop.steps=1 ";
    private const string Mlp = Images + "model.name=mlp model.hidden=32 batch.global=100 batch.micro=16 ";
    private const string Cnn = Images + "model.name=cnn model.hidden=32 ";
    private const string ResNet = Images + "model.name=resnet model.width=8 batch.global=48 ";

    private const float GptGain = 10;

    private const string Gpt = "task=language-model data.name=devils-dictionary stop.steps=1 "
        + "model.name=gpt model.window=32 model.width=32 model.layers=2 model.heads=4 batch.global=24 batch.micro=5 ";

    /// <summary>Every model and every rule, not the whole product.</summary>
    public static IReadOnlyList<Case> All { get; } =
    [
        Of("mlp, SGD with momentum", Mlp + Sgd),
        Of("mlp, Adam", Mlp + Adam),
        Of("mlp, AdamW", Mlp + AdamW),
        Of("cnn, SGD with momentum, one pass of 512 against 16 x 32", Cnn + "batch.global=512 batch.micro=32 " + Sgd),
        Of("cnn, Adam, clipped", Cnn + "batch.global=48 batch.micro=7 clip.globalNorm=0.5 " + Adam),
        Of("resnet with GroupNorm, AdamW", ResNet + "model.norm=group batch.micro=10 " + AdamW),
        Of("resnet with BatchNorm, SGD with Nesterov's momentum, one micro-batch", ResNet + "model.norm=batch batch.micro=48 optimizer.nesterov=true " + Sgd),
        Of("gpt as it is drawn, SGD with momentum", Gpt + Sgd),
        Of("gpt, Adam", Gpt + Adam) with { Gain = GptGain },
        Of("gpt, AdamW that spares biases and norms", Gpt + "optimizer.decayMatricesOnly=true " + AdamW) with { Gain = GptGain },
        Of("gpt, SGD with momentum, ragged, weighted by tokens", Gpt + Sgd) with { Ragged = true, Gain = GptGain },
    ];

    private static Case Of(string name, string settings) =>
        new(name, settings.Split(' ').Select(s => s.Split('=')).ToDictionary(s => s[0], s => s[1]));
}
