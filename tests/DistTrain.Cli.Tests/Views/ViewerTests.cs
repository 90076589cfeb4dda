using System.Text.Json.Nodes;
using DistTrain.Views;
using Microsoft.Extensions.Time.Testing;
using Spectre.Console;
using Spectre.Console.Rendering;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests.Views;

/// <summary>What people and programs are shown.</summary>
public sealed class ViewerTests
{
    [Fact]
    public void Lines_come_every_tenth_of_the_run_or_five_seconds()
    {
        var (output, time) = (new StringWriter(), new FakeTimeProvider());
        var viewer = new LineViewer(output, time);
        viewer.Show(Events.Started(1000, 1000));
        for (var step = 1; step <= 250; step++)
        {
            viewer.Show(Events.Step(step, step));
        }

        time.Advance(TimeSpan.FromSeconds(5));
        viewer.Show(Events.Step(251, 251));
        viewer.Show(Events.Step(252, 252));
        viewer.Show(Events.Evaluation(252, 0.5, 0.75));
        viewer.Show(Events.Happening("worker 1 joined"));
        Assert.Equal(
            """
            toy: 123 parameters, 1,000 samples, 1,000 steps of 10 samples in micro-batches of 4, 2 workers
            step 100/1000 (10 %), epoch 0, loss 1, rate 0.1, 100 samples/s, 2 workers, 9.0 s left
            step 200/1000 (20 %), epoch 0, loss 1, rate 0.1, 100 samples/s, 2 workers, 8.0 s left
            step 251/1000 (25 %), epoch 0, loss 1, rate 0.1, 100 samples/s, 2 workers, 7.5 s left
            step 252: validation loss 0.5, accuracy 0.75
            worker 1 joined

            """,
            output.ToString(),
            ignoreLineEndingDifferences: true);
    }

    [Fact]
    public void One_is_not_many() =>
        Assert.Equal(
            "toy: 1 parameter, 1 sample, 1 step of 1 sample in micro-batches of 1, 1 worker",
            Words.Frame(new RunView { Name = "toy", Parameters = 1, TrainingSamples = 1, TotalSteps = 1, GlobalBatch = 1, MicroBatch = 1, Workers = 1 }));

    [Fact]
    public void Json_is_one_object_per_event_even_for_numbers_json_has_no_word_for()
    {
        var output = new StringWriter();
        var viewer = new JsonViewer(output);
        viewer.Show(Events.Started(1, 10));
        viewer.Show(Events.Step(1, 10, loss: double.NaN));
        viewer.Show(Events.Evaluation(1, double.PositiveInfinity, 0.5));
        viewer.Show(Events.Happening("a \"word\""));
        viewer.Show(Events.Finished(true, "done"));
        var lines = output.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!).ToList();
        Assert.Equal(["started", "step", "evaluation", "happening"], lines.Select(l => (string)l["event"]!));
        Assert.Equal("NaN", (string)lines[1]["loss"]!);
        Assert.Equal(0.5, (double)lines[2]["metrics"]!["accuracy"]!);
    }

    [Fact]
    public void The_picture_holds_what_matters()
    {
        var view = new RunView().With(Events.Started(4, 40)).With(Events.Step(2, 20, loss: 0.123, generation: 7)).With(Events.Evaluation(2, 0.5, 0.75));
        var text = Draw(TerminalViewer.Picture(view, ["[worker] 1 joined"], 80));
        Assert.All(
            ["2 of 4", "0.123", "0.75", "50 %", "generation", "7", "0.2 s left", "[worker] 1 joined"],
            part => Assert.Contains(part, text, StringComparison.Ordinal));
        Assert.DoesNotContain("\x1b", text, StringComparison.Ordinal);
    }

    [Fact]
    public void The_noise_scale_is_told_as_the_rule_sees_it()
    {
        var step = Events.Step(20, 200);
        step.Step.Noise = new V1.NoiseScale { Value = 90, Low = 70, High = 120, Advice = "plain advice" };
        var (output, json) = (new StringWriter(), new StringWriter());
        var (lines, objects) = (new LineViewer(output, new FakeTimeProvider()), new JsonViewer(json));
        foreach (var happened in new[] { Events.Started(1000, 10_000), step, Events.Step(21, 210), Events.Evaluation(21, 0.5, 0.75) })
        {
            lines.Show(happened);
            objects.Show(happened);
        }

        Assert.EndsWith($"accuracy 0.75{Environment.NewLine}plain advice{Environment.NewLine}", output.ToString(), StringComparison.Ordinal);
        var noise = json.ToString().Split('\n', StringSplitOptions.RemoveEmptyEntries).Select(l => JsonNode.Parse(l)!["noise"]).ToList();
        Assert.Equal("""{"scale":90,"low":70,"high":120,"advice":"plain advice"}""", noise[1]!.ToJsonString());
        Assert.Null(noise[2]);

        step.Step.Noise.Preconditioned = new V1.NoiseScale { Value = double.NaN, Low = double.NaN, High = double.NaN, Advice = "Adam's advice" };
        var text = Draw(TerminalViewer.Picture(new RunView().With(Events.Started(1000, 10_000)).With(step), [], 80));
        Assert.Contains("Adam's advice", text, StringComparison.Ordinal);
        Assert.DoesNotContain("plain advice", text, StringComparison.Ordinal);
        Assert.Equal("NaN", (string)JsonViewer.Translate(step)!["noise"]!["preconditioned"]!["scale"]!);
    }

    [Fact]
    public async Task The_terminal_view_ends_when_it_is_told_to()
    {
        var output = new StringWriter();
        var surroundings = new Surroundings
        {
            Out = output,
            Error = output,
            IsTerminal = true,
            Environment = new Dictionary<string, string> { ["NO_COLOR"] = "1" },
            Program = new DistTrain.Launching.ChildCommand("", []),
        };
        await using (var viewer = RunViewers.For(surroundings, json: false))
        {
            Assert.IsType<TerminalViewer>(viewer);
            viewer.Show(Events.Started(4, 40));
            viewer.Show(Events.Step(2, 20));
        }

        Assert.DoesNotContain("\x1b[3", output.ToString(), StringComparison.Ordinal);
    }

    private static string Draw(IRenderable picture)
    {
        var output = new StringWriter();
        var console = AnsiConsole.Create(new AnsiConsoleSettings { Ansi = AnsiSupport.No, ColorSystem = ColorSystemSupport.NoColors, Out = new AnsiConsoleOutput(output) });
        console.Profile.Width = 100;
        console.Write(picture);
        return output.ToString();
    }
}
