using DistTrain.Core.Options;
using DistTrain.Core.Runs;
using DistTrain.Protocol;
using Grpc.Core;

namespace DistTrain.Coordinator.Checkpoints;

/// <summary>Which states may come from a worker, and what their manifests say. Asked from the calls that bring them, while the loop goes on.</summary>
internal sealed class DueCheckpoints(RunOptions options)
{
    /// <summary>More steps than are ever under way.</summary>
    private const int StepsRemembered = 8;

    private readonly Dictionary<long, Operation?> _due = new() { [0] = null };
    private readonly Dictionary<long, Operation> _steps = [];

    /// <summary>Remembers a step that is handed out: its state may be asked for later.</summary>
    public void Remember(Operation step)
    {
        _steps[step.Step] = step;
        _steps.Remove(step.Step - StepsRemembered);
    }

    /// <summary>From here on the state after a step that was handed out lately may come, and those before a published one may not.</summary>
    /// <param name="step">The step.</param>
    /// <param name="published">The step of the newest checkpoint there is.</param>
    public void Await(long step, long published)
    {
        lock (_due)
        {
            foreach (var past in _due.Keys.Where(s => s < published).ToList())
            {
                _due.Remove(past);
            }

            _due[step] = _steps[step];
        }
    }

    /// <summary>What a manifest says beside the header: everything a resumed run needs.</summary>
    /// <exception cref="RpcException">No checkpoint of that step is due.</exception>
    public IReadOnlyDictionary<string, object> Manifest(long step)
    {
        Operation? last;
        lock (_due)
        {
            if (!_due.TryGetValue(step, out last))
            {
                throw new RpcException(new Status(StatusCode.FailedPrecondition, $"No checkpoint of step {step} is due."));
            }
        }

        return new Dictionary<string, object>
        {
            ["version"] = ProgramIdentity.Version,
            ["sampler"] = "feistel-8",
            ["seed"] = options.Seed,
            ["epoch"] = last?.Samples.Epoch ?? 0,
            ["position"] = last is null ? 0 : last.Samples.First + last.Samples.Count,
            ["geometry"] = new { global = options.Batch.Global, micro = options.Batch.Micro, blocks = options.Batch.Blocks },
            ["configuration"] = OptionsReader.Write(options),
        };
    }
}
