using System.Diagnostics;
using System.Text.Json;

namespace DistTrain.PyTorch;

/// <summary>What a step of the reference computes.</summary>
/// <param name="Loss">The mean loss.</param>
/// <param name="Play">
/// How far the gradient moves, relative to its norm, when every input of a ReLU that rounding alone may have put on its side of 0 changes sides. 0 in most
/// steps, and without ReLU.
/// </param>
/// <param name="Gradient">The mean gradient.</param>
internal sealed record ReferenceStep(double Loss, double Play, float[] Gradient);

/// <summary>The running <c>reference.py</c>: a state, then for each step the loss, the gradient and the state after it.</summary>
internal sealed class Reference : IDisposable
{
    /// <summary>How long it may say nothing: loading torch and the slowest step take seconds on a busy machine.</summary>
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    private readonly Process _process;
    private readonly Stream _output;
    private readonly int _count;
    private readonly int _vectors;

    /// <summary>Starts it; it computes while its output is read.</summary>
    /// <param name="python">An interpreter that has torch.</param>
    /// <param name="file">Weights and samples, see <see cref="ReferenceInput"/>.</param>
    /// <param name="settings">The run's keys.</param>
    /// <param name="count">Elements of a vector.</param>
    /// <param name="vectors">Vectors of a state.</param>
    public Reference(string python, string file, IReadOnlyDictionary<string, string> settings, int count, int vectors)
    {
        (_count, _vectors) = (count, vectors);
        var script = Path.Combine(AppContext.BaseDirectory, "reference.py");
        _process = Process.Start(new ProcessStartInfo(python, [script, file, JsonSerializer.Serialize(settings)]) { RedirectStandardOutput = true })!;
        _output = _process.StandardOutput.BaseStream;
    }

    /// <summary>The weights and the vectors of the rule.</summary>
    public float[][] ReadState() => [.. Enumerable.Range(0, _vectors).Select(_ => ReadVector())];

    /// <summary>What a step computes.</summary>
    public ReferenceStep ReadStep()
    {
        var numbers = new double[2];
        Fill(numbers);
        return new ReferenceStep(numbers[0], numbers[1], ReadVector());
    }

    /// <summary>Nothing more may follow.</summary>
    public void Finish()
    {
        var more = Read(new byte[1]) > 0;
        if (!_process.WaitForExit(Patience))
        {
            throw Silent();
        }

        if (more || _process.ExitCode != 0)
        {
            throw new InvalidDataException($"reference.py wrote more than was expected, or ended with {_process.ExitCode}.");
        }
    }

    public void Dispose()
    {
        if (!_process.HasExited)
        {
            _process.Kill();
        }

        _process.Dispose();
    }

    private float[] ReadVector()
    {
        var vector = new float[_count];
        Fill(vector);
        return vector;
    }

    private void Fill<T>(T[] numbers)
        where T : unmanaged
    {
        var bytes = new byte[Buffer.ByteLength(numbers)];
        if (Read(bytes) < bytes.Length)
        {
            throw new InvalidDataException("reference.py ended too early: what it said on standard error tells why.");
        }

        Buffer.BlockCopy(bytes, 0, numbers, 0, bytes.Length);
    }

    /// <summary>Reads until the buffer is full or the output ends.</summary>
    /// <exception cref="TimeoutException">Nothing came for longer than <see cref="Patience"/>.</exception>
    private int Read(byte[] bytes)
    {
        var have = 0;
        while (have < bytes.Length)
        {
            using var deadline = new CancellationTokenSource(Patience);
            try
            {
                var got = _output.ReadAsync(bytes.AsMemory(have), deadline.Token).AsTask().GetAwaiter().GetResult();
                if (got == 0)
                {
                    break;
                }

                have += got;
            }
            catch (OperationCanceledException)
            {
                throw Silent();
            }
        }

        return have;
    }

    private static TimeoutException Silent() => new($"reference.py said nothing for {Patience.TotalMinutes:0} minutes: see what it waits for.");
}
