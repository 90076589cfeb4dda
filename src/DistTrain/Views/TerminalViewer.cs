using Spectre.Console;
using Spectre.Console.Rendering;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Views;

/// <summary>A live picture on a terminal. The last one stays.</summary>
internal sealed class TerminalViewer : IRunViewer
{
    private const int MostHappenings = 5;
    private static readonly TimeSpan Frame = TimeSpan.FromMilliseconds(100);

    private readonly CancellationTokenSource _end = new();
    private readonly Queue<string> _happenings = new();
    private readonly Lock _gate = new();
    private readonly Task _drawing;
    private RunView _view = new();

    /// <summary>Starts drawing.</summary>
    public TerminalViewer(Surroundings surroundings)
    {
        var console = AnsiConsole.Create(new AnsiConsoleSettings
        {
            Out = new AnsiConsoleOutput(surroundings.Out),
            ColorSystem = surroundings.Environment.GetValueOrDefault("NO_COLOR", "").Length > 0 ? ColorSystemSupport.NoColors : ColorSystemSupport.Detect,
        });
        _drawing = DrawAsync(console, surroundings.Time);
    }

    /// <inheritdoc/>
    public void Show(V1.RunEvent happened)
    {
        lock (_gate)
        {
            _view = _view.With(happened);
            if (happened.BodyCase == V1.RunEvent.BodyOneofCase.Happening)
            {
                _happenings.Enqueue(happened.Happening.Sentence);
                if (_happenings.Count > MostHappenings)
                {
                    _happenings.Dequeue();
                }
            }
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync();
        await _drawing;
        _end.Dispose();
    }

    /// <summary>The picture of one moment.</summary>
    internal static IRenderable Picture(RunView view, IEnumerable<string> happenings, int width)
    {
        if (!view.HasStarted)
        {
            return new Rows([new Text("waiting for the workers"), .. happenings.Select(h => new Text(h))]);
        }

        var cells = Math.Clamp(width - 40, 10, 60);
        var done = (int)(view.Progress * cells);
        var grid = new Grid().AddColumns(4);
        grid.AddRow("[bold]step[/]", $"{view.Step:N0} of {view.TotalSteps:N0}", "[bold]epoch[/]", $"{view.Epoch}");
        grid.AddRow("[bold]loss[/]", Words.Number(view.Loss), "[bold]learning rate[/]", Words.Rate(view));
        grid.AddRow("[bold]validation loss[/]", Words.Number(view.ValidationLoss), "[bold]samples/s[/]", $"{view.SamplesPerSecond:N0}");
        foreach (var pair in view.Metrics.Chunk(2))
        {
            grid.AddRow([.. pair.SelectMany(m => new[] { $"[bold]{Markup.Escape(m.Key)}[/]", Words.Number(m.Value) })]);
        }

        grid.AddRow("[bold]workers[/]", $"{view.Workers}", "[bold]generation[/]", $"{view.Generation}");
        var left = view.TimeLeft is { } span ? Words.Span(span) + " left" : "";
        return new Rows([
            new Text(Words.Frame(view)),
            new Markup($"[green]{new string('━', done)}[/][grey]{new string('━', cells - done)}[/] {view.Progress,4:P0}  {Markup.Escape(left)}"),
            grid,
            .. view.NoiseAdvice.Length == 0 ? Array.Empty<IRenderable>() : [new Text(view.NoiseAdvice)],
            .. happenings.Select(h => new Text(h)),
        ]);
    }

    private async Task DrawAsync(IAnsiConsole console, TimeProvider time) =>
        await console.Live(new Text("")).AutoClear(false).StartAsync(async live =>
        {
            using var timer = new PeriodicTimer(Frame, time);
            try
            {
                while (true)
                {
                    Draw(live, console.Profile.Width);
                    await timer.WaitForNextTickAsync(_end.Token);
                }
            }
            catch (OperationCanceledException)
            {
                Draw(live, console.Profile.Width);
            }
        });

    private void Draw(LiveDisplayContext live, int width)
    {
        lock (_gate)
        {
            live.UpdateTarget(Picture(_view, [.. _happenings], width));
        }
    }
}
