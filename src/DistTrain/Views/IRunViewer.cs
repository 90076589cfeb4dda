using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Views;

/// <summary>Shows a run to whoever watches. Events may come from several threads.</summary>
internal interface IRunViewer : IAsyncDisposable
{
    /// <summary>Takes one event.</summary>
    void Show(V1.RunEvent happened);
}

/// <summary>Chooses the view that suits who watches.</summary>
internal static class RunViewers
{
    /// <summary>Objects for programs, a live picture on a terminal, lines anywhere else.</summary>
    public static IRunViewer For(Surroundings surroundings, bool json) =>
        json ? new JsonViewer(surroundings.Out)
        : surroundings.IsTerminal ? new TerminalViewer(surroundings)
        : new LineViewer(surroundings.Out, surroundings.Time);
}
