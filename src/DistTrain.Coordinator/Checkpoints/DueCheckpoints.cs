using DistTrain.Core.Batches;
using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using Grpc.Core;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>Which states may come from a worker, and what their manifests say. Asked from the calls that bring them, while the loop goes on.</summary>
/// <param name="options">The configuration.</param>
/// <param name="geometry">How a step is cut up; checkpoint 0 may come before the size of micro-batches is known, which is 0 then.</param>
internal sealed class DueCheckpoints(RunOptions options, Func<BatchGeometry> geometry)
{
    private readonly Dictionary<long, (long Epoch, long Position)> _due = new() { [0] = (0, 0) };

    /// <summary>From here on the state after a step may come, and those before a published one may not.</summary>
    /// <param name="step">The step.</param>
    /// <param name="published">The step of the newest checkpoint there is.</param>
    /// <param name="length">Of the run.</param>
    public void Await(long step, long published, RunLength length)
    {
        lock (_due)
        {
            foreach (var past in _due.Keys.Where(s => s < published).ToList())
            {
                _due.Remove(past);
            }

            var samples = length.SamplesOf(step);
            var epoch = step == 0 ? 0 : (samples - 1) / length.DataSize;
            _due[step] = (epoch, samples - (epoch * length.DataSize));
        }
    }

    /// <summary>What a manifest says beside the header: everything a resumed run needs.</summary>
    /// <exception cref="RpcException">No checkpoint of that step is due.</exception>
    public IReadOnlyDictionary<string, object> Manifest(long step)
    {
        (long Epoch, long Position) cursor;
        lock (_due)
        {
            if (!_due.TryGetValue(step, out cursor))
            {
                throw new RpcException(new Status(StatusCode.FailedPrecondition, $"No checkpoint of step {step} is due."));
            }
        }

        var cut = geometry();
        return new Dictionary<string, object>
        {
            ["version"] = ProgramIdentity.Version,
            ["sampler"] = "feistel-8",
            ["seed"] = options.Seed,
            ["epoch"] = cursor.Epoch,
            ["position"] = cursor.Position,
            ["geometry"] = new { global = cut.Global, micro = cut.Micro, blocks = cut.Blocks },
            ["configuration"] = OptionsReader.Write(options),
        };
    }
}
