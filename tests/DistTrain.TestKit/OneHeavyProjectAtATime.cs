using System.Security.Cryptography;
using System.Text;

namespace DistTrain.TestKit;

/// <summary>
/// Holds a mutex of the whole checkout while a project's tests run. <c>dotnet test</c> starts as many projects at once as there are processors, and
/// each one that trains wants them all: side by side they are slower, and workers that get no time look lost.
/// </summary>
/// <remarks>An assembly fixture of every project that sets <c>IsHeavy</c> (see <c>tests/Directory.Build.props</c>).</remarks>
public sealed class OneHeavyProjectAtATime : IDisposable
{
    private readonly ManualResetEventSlim _mine = new();
    private readonly ManualResetEventSlim _done = new();
    private readonly Thread _holder;

    /// <summary>Waits for its turn. The system frees the mutex of a process that is killed.</summary>
    public OneHeavyProjectAtATime()
    {
        // A mutex belongs to a thread, and a fixture may be disposed of on another one than it was made on.
        _holder = new Thread(Hold) { IsBackground = true, Name = "one heavy project at a time" };
        _holder.Start();
        _mine.Wait();
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _done.Set();
        _holder.Join();
        _mine.Dispose();
        _done.Dispose();
    }

    private void Hold()
    {
        // artifacts/bin, above PROJECT/CONFIGURATION: one name for every project of a checkout.
        var checkout = Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", ".."));
        using var mutex = new Mutex(false, $"Global\\disttrain-tests-{Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(checkout)))[..16]}");
        try
        {
            mutex.WaitOne();
        }
        catch (AbandonedMutexException)
        {
            // Its holder was killed; it is ours.
        }

        _mine.Set();
        _done.Wait();
        mutex.ReleaseMutex();
    }
}
