using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Training.Checkpoints;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary><c>predict</c>: asks the model of a run.</summary>
internal static class PredictVerb
{
    /// <summary>The verb.</summary>
    public static Command Create(Application app)
    {
        var command = new VerbCommand(
            "predict",
            "Ask the model that a run has trained: a language model continues a text, image classification names the class of images.",
            "Examples:\n"
            + "  predict runs/digits                                        the first validation images, and what they are\n"
            + "  predict runs/digits --input images-idx3-ubyte.gz --count 100\n"
            + "  predict runs/gpt-bytes --prompt \"MARRIAGE, n.\" --length 400 --temperature 0.7 --seed 3\n"
            + "  predict runs/gpt-bytes/checkpoints/step-00000000           before it learned anything\n\n"
            + "Standard error says which checkpoint answers. An option that does not concern the run's task is refused.");
        var standard = new PredictRequest();
        var run = new Argument<string>("RUN") { Description = "A run's folder, whose newest checkpoint is asked, or a checkpoint's folder." };
        var prompt = new Option<string?>("--prompt") { Description = "Text: how it begins.", HelpName = "TEXT" };
        var length = Common.WholeNumber("--length", "Text: how many bytes follow.", "N", 0, 1 << 24, standard.Length);
        var temperature = Temperature(standard.Temperature);
        var seed = Common.WholeNumber("--seed", "Text: seed of what is drawn; the same seed gives the same text.", "N", 0, int.MaxValue, (int)standard.Seed);
        var input = new Option<string?>("--input") { Description = "Images: an IDX file, plain or gzipped; the validation images where left away.", HelpName = "FILE" };
        var count = Common.WholeNumber("--count", "Images: how many, from the first on.", "N", 1, int.MaxValue, standard.Count);
        var data = new Option<string?>("--data") { Description = "Where this machine keeps the run's data, instead of data.path or data.url.", HelpName = "PATH" };
        var json = Common.Json("One JSON object with the whole answer instead of text as it comes.");
        input.Validators.Add(Common.NotEmpty);
        data.Validators.Add(Common.NotEmpty);
        command.Add(run);
        command.Add(prompt);
        command.Add(length);
        command.Add(temperature);
        command.Add(seed);
        command.Add(input);
        command.Add(count);
        command.Add(data);
        command.Add(json);
        (Option Option, string Property)[] questions =
        [
            (prompt, nameof(PredictRequest.Prompt)), (length, nameof(PredictRequest.Length)), (temperature, nameof(PredictRequest.Temperature)),
            (seed, nameof(PredictRequest.Seed)), (input, nameof(PredictRequest.Input)), (count, nameof(PredictRequest.Count)),
        ];
        command.SetAction((parsed, cancellation) => RunAsync(
            app,
            new Question(
                parsed.GetValue(run)!,
                parsed.GetValue(data),
                new PredictRequest
                {
                    Prompt = parsed.GetValue(prompt),
                    Length = parsed.GetValue(length),
                    Temperature = parsed.GetValue(temperature),
                    Seed = (ulong)parsed.GetValue(seed),
                    Input = parsed.GetValue(input),
                    Count = parsed.GetValue(count),
                },
                questions,
                [.. questions.Where(q => parsed.GetResult(q.Option) is { Implicit: false })],
                parsed.GetValue(json)),
            cancellation));
        return command;
    }

    private static async Task<int> RunAsync(Application app, Question question, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        if (Common.Missing(question.Run, "the folder of a run, or of one of its checkpoints") is { } missing)
        {
            surroundings.Fail(missing);
            return ExitCode.Usage;
        }

        try
        {
            // The run's own configuration and no other layer: the weights fit no other model.
            var source = Path.Combine(CheckpointFolder.Find(question.Run).Run, "config.yaml");
            if (!File.Exists(source))
            {
                throw new DataException($"{source} does not exist: give the folder of a run, which says how its model is built.");
            }

            var request = new ConfigurationRequest { Source = source, Flags = question.Data is { } path ? [("--data", "data.path", path)] : [] };
            var (options, problems) = RunConfiguration.Read(request, new RecipeShelf(), app.Tasks);
            if (problems.Count > 0)
            {
                foreach (var problem in problems)
                {
                    surroundings.Fail(problem);
                }

                return ExitCode.Usage;
            }

            var (data, task) = await OpenAsync(app, options, cancellation);
            using var keep = data;
            using var own = task;
            var (model, checkpoint) = CheckpointFolder.Read(question.Run, c => (new TrainedModel(task, options, c), c));
            using (model)
            {
                if (question.Given.Where(q => !model.Takes.Contains(q.Property)).Select(q => q.Option.Name).ToList() is { Count: > 0 } useless)
                {
                    var useful = string.Join(", ", question.Options.Where(q => model.Takes.Contains(q.Property)).Select(q => q.Option.Name));
                    surroundings.Fail($"{string.Join(" and ", useless)} {(useless.Count == 1 ? "has" : "have")} no effect with the task {options.Task}, which takes {useful}.");
                    return ExitCode.Usage;
                }

                surroundings.Error.WriteLine($"{checkpoint.Path} answers, step {checkpoint.Step}.");
                Answer(model.Predict(question.Request), checkpoint, question.Json, surroundings.Out, cancellation);
                return ExitCode.Success;
            }
        }
        catch (OperationCanceledException)
        {
            surroundings.Fail("Stopped before the answer was complete.");
        }
        catch (Exception expected) when (expected is DataException or IOException or UnauthorizedAccessException or PlatformNotSupportedException)
        {
            surroundings.Fail(expected.Message);
        }

        return ExitCode.Failure;
    }

    /// <summary>The task reads its data although only the model is asked: their size may be the model's, and they are what is asked about.</summary>
    private static async Task<(HeldData Data, ITrainingTask Task)> OpenAsync(Application app, RunOptions options, CancellationToken cancellation)
    {
        try
        {
            var data = await Common.TakeDataAsync(options, app.Surroundings, cancellation);
            return (data, Common.CreateTask(app.Tasks, data.Run));
        }
        catch (DataException missing)
        {
            throw new DataException($"{missing.Message} predict needs the run's data, too: where this machine keeps them elsewhere, name the place by --data.", missing);
        }
    }

    private static void Answer(IEnumerable<Prediction> pieces, CheckpointFolder checkpoint, bool json, TextWriter output, CancellationToken cancellation)
    {
        var whole = new StringBuilder();
        var fields = new JsonArray();
        foreach (var piece in pieces)
        {
            cancellation.ThrowIfCancellationRequested();
            whole.Append(piece.Text);
            if (!json)
            {
                output.Write(piece.Text);
            }
            else if (piece.Fields is not null)
            {
                fields.Add(new JsonObject(piece.Fields.Select(f => KeyValuePair.Create(f.Key, (JsonNode?)JsonValue.Create(f.Value)))));
            }
        }

        if (json)
        {
            output.WriteLine(new JsonObject
            {
                ["checkpoint"] = checkpoint.Path,
                ["step"] = checkpoint.Step,
                ["answer"] = fields.Count > 0 ? fields : $"{whole}",
            }.ToJsonString());
        }
        else if (whole.Length > 0 && whole[^1] != '\n')
        {
            output.WriteLine();
        }
    }

    private static Option<double> Temperature(double standard)
    {
        const double most = 100;
        var option = new Option<double>("--temperature")
        {
            Description = "Text: below 1 keeps to the likely, at 0 always the likeliest byte follows.",
            HelpName = "T",
            DefaultValueFactory = _ => standard,
        };
        option.CustomParser = result =>
        {
            var given = result.Tokens is [var token, ..] ? token.Value : "";
            if (!double.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) || number is not (>= 0 and <= most))
            {
                result.AddError($"--temperature is '{given}': must be a number between 0 and {most}.");
            }

            return number;
        };
        return option;
    }

    /// <summary>What the command line asks.</summary>
    /// <param name="Run">The folder of a run or checkpoint.</param>
    /// <param name="Data">Where the data are; null for what the run says.</param>
    /// <param name="Request">The question to the model.</param>
    /// <param name="Options">Every option that is part of it, and the property it sets.</param>
    /// <param name="Given">Those that the command line holds.</param>
    /// <param name="Json">Whether the answer is for programs.</param>
    private sealed record Question(
        string Run, string? Data, PredictRequest Request, IReadOnlyList<(Option Option, string Property)> Options,
        IReadOnlyList<(Option Option, string Property)> Given, bool Json);
}
