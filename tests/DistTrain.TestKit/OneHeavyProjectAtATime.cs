using System.Runtime.InteropServices;

namespace DistTrain.TestKit;

/// <summary>
/// Holds a lock of the whole checkout while a project's tests run. <c>dotnet test</c> starts as many projects at once as there are processors, and
/// each one that trains wants them all: side by side they are slower, and workers that get no time look lost.
/// </summary>
/// <remarks>An assembly fixture of every project that sets <c>IsHeavy</c> (see <c>tests/Directory.Build.props</c>).</remarks>
public sealed partial class OneHeavyProjectAtATime : IDisposable
{
    private const int Exclusive = 2;
    private const int Interrupted = 4;
    private readonly FileStream _file;

    /// <summary>Waits for its turn. The system takes the lock back from a process that is killed.</summary>
    public OneHeavyProjectAtATime()
    {
        // artifacts/bin, above PROJECT/CONFIGURATION.
        var path = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "heavy-tests.lock"));
        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite);
        while (!OperatingSystem.IsWindows() && Lock((int)_file.SafeFileHandle.DangerousGetHandle(), Exclusive) != 0)
        {
            if (Marshal.GetLastPInvokeError() != Interrupted)
            {
                throw new IOException($"{path} cannot be locked: {Marshal.GetLastPInvokeErrorMessage()}");
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    [LibraryImport("libc", EntryPoint = "flock", SetLastError = true)]
    private static partial int Lock(int file, int operation);
}
