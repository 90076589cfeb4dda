using DistTrain.Core.Options;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Optimizers;
using DistTrain.Training.Replicas;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Training.Checkpoints;

/// <summary>A task's model with the weights of a checkpoint: what an evaluation at that step saw, the average in place of the weights where one was kept.</summary>
/// <remarks>Create and use it on one thread: torch's scopes and its grad mode belong to threads.</remarks>
public sealed class TrainedModel : IDisposable
{
    private const string Average = "average.";
    private readonly FlatModel _model;
    private readonly IPredictor _predictor;

    /// <summary>Loads torch, builds the model and reads its weights by name.</summary>
    /// <param name="task">The run's task; disposed by the caller.</param>
    /// <param name="options">The run's configuration.</param>
    /// <param name="checkpoint">The checkpoint.</param>
    /// <exception cref="DataException">The task cannot be asked, or the checkpoint is damaged or of another model.</exception>
    /// <exception cref="PlatformNotSupportedException">libtorch is not there or does not load.</exception>
    public TrainedModel(ITrainingTask task, RunOptions options, CheckpointFolder checkpoint)
    {
        _predictor = task as IPredictor
            ?? throw new DataException($"The task {options.Task} predicts nothing: implement {nameof(IPredictor)} in {task.GetType().Name}, beside {nameof(ITrainingTask)}.");
        TorchRuntime.Load(options.Threads, options.Instructions);
        _model = new FlatModel(task.BuildModel(), ComputeDevice.Cpu);
        try
        {
            var slots = _model.Layout.Slots;
            using var weights = checkpoint.Open("model.safetensors", slots, [""]);
            using var average = options.Average.Decay > 0 ? checkpoint.Open("optimizer.safetensors", slots, OptimizerPrefixes(options)) : null;
            foreach (var slot in slots)
            {
                if (average is not null && slot.Offset < _model.Layout.BuffersStart)
                {
                    average.Read(Average, slot, _model.Weights);
                }
                else
                {
                    weights.Read("", slot, _model.Weights);
                }
            }
        }
        catch
        {
            _model.Dispose();
            throw;
        }

        _model.Buffers.Restore();
        _model.Module.eval();
    }

    /// <summary>Which properties of a request are regarded; see <see cref="IPredictor.Takes"/>.</summary>
    public IReadOnlyCollection<string> Takes => _predictor.Takes;

    /// <summary>Asks the model; see <see cref="IPredictor.Predict"/>.</summary>
    public IEnumerable<Prediction> Predict(PredictRequest request)
    {
        using var noGradient = no_grad();
        foreach (var piece in _predictor.Predict(_model.Module, request))
        {
            yield return piece;
        }
    }

    /// <summary>What the vectors beside the weights are called, in a run that keeps an average.</summary>
    private static string[] OptimizerPrefixes(RunOptions options)
    {
        using var rule = FlatOptimizers.Create(options.Optimizer, count: 0);
        return [.. rule.Vectors.Select(v => $"{v.Name}."), Average];
    }

    /// <inheritdoc/>
    public void Dispose() => _model.Dispose();
}
