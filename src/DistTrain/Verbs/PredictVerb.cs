using System.CommandLine;
using System.Globalization;
using System.Text;
using System.Text.Json.Nodes;
using DistTrain.Configuration;
using DistTrain.Training.Checkpoints;
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
            + "  predict runs/gpt-bytes/checkpoints/step-00000000           before it learned anything");
        var standard = new PredictRequest();
        var run = new Argument<string>("RUN") { Description = "A run's folder, whose newest checkpoint is asked, or a checkpoint's folder." };
        var prompt = new Option<string?>("--prompt") { Description = "Text: how it begins.", HelpName = "TEXT" };
        var length = Common.WholeNumber("--length", "Text: how many bytes follow.", "N", 0, 1 << 24, standard.Length);
        var temperature = Temperature(standard.Temperature);
        var seed = Common.WholeNumber("--seed", "Text: seed of what is drawn; the same seed gives the same text.", "N", 0, int.MaxValue, (int)standard.Seed);
        var input = new Option<string?>("--input") { Description = "Images: an IDX file, plain or gzipped; the validation images where left away.", HelpName = "FILE" };
        var count = Common.WholeNumber("--count", "Images: how many, from the first on.", "N", 1, int.MaxValue, standard.Count);
        var json = Common.Json("One JSON object with the whole answer instead of text as it comes.");
        command.Add(run);
        command.Add(prompt);
        command.Add(length);
        command.Add(temperature);
        command.Add(seed);
        command.Add(input);
        command.Add(count);
        command.Add(json);
        command.SetAction((parsed, cancellation) => Task.FromResult(Run(
            app,
            parsed.GetValue(run)!,
            new PredictRequest
            {
                Prompt = parsed.GetValue(prompt),
                Length = parsed.GetValue(length),
                Temperature = parsed.GetValue(temperature),
                Seed = (ulong)parsed.GetValue(seed),
                Input = parsed.GetValue(input),
                Count = parsed.GetValue(count),
            },
            parsed.GetValue(json),
            cancellation)));
        return command;
    }

    private static int Run(Application app, string run, PredictRequest request, bool json, CancellationToken cancellation)
    {
        var surroundings = app.Surroundings;
        try
        {
            var checkpoint = CheckpointFolder.Find(run);

            // The run's own configuration and no other layer: the weights fit no other model.
            var source = Path.Combine(checkpoint.Run, "config.yaml");
            if (!File.Exists(source))
            {
                throw new DataException($"{source} does not exist: give the folder of a run, which says how its model is built.");
            }

            var (options, problems) = RunConfiguration.Read(new ConfigurationRequest { Source = source }, new RecipeShelf(), app.Tasks);
            if (problems.Count > 0)
            {
                foreach (var problem in problems)
                {
                    surroundings.Fail(problem);
                }

                return ExitCode.Usage;
            }

            using var task = app.Tasks.Create(options);
            using var model = new TrainedModel(task, options, checkpoint);
            var whole = new StringBuilder();
            foreach (var piece in model.Predict(request))
            {
                cancellation.ThrowIfCancellationRequested();
                whole.Append(piece);
                if (!json)
                {
                    surroundings.Out.Write(piece);
                }
            }

            if (json)
            {
                surroundings.Out.WriteLine(new JsonObject
                {
                    ["checkpoint"] = checkpoint.Path,
                    ["step"] = checkpoint.Step,
                    ["answer"] = $"{whole}",
                }.ToJsonString());
            }
            else if (whole.Length > 0 && whole[^1] != '\n')
            {
                surroundings.Out.WriteLine();
            }

            return ExitCode.Success;
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
}
