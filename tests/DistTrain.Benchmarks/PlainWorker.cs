using System.Diagnostics;
using System.Globalization;
using DistTrain.Cli.Tasks;
using DistTrain.Core.Options;
using DistTrain.Training.Tasks;
using static TorchSharp.torch;

namespace DistTrain.Benchmarks;

/// <summary>
/// What a TorchSharp user writes without DistTrain: model, loss, torch's optimizer, one process, one thread. Model and data are those of the built-in task. Spoken to as the
/// other peers are.
/// </summary>
internal sealed class PlainWorker : IDisposable
{
    private readonly ITrainingTask _task;
    private readonly nn.Module _model;
    private readonly optim.Optimizer _optimizer;
    private readonly RunOptions _options;
    private readonly int _accumulation;
    private readonly Random _random = new(1);

    private PlainWorker(RunOptions options, int accumulation)
    {
        set_num_threads(1);
        (_options, _accumulation) = (options, accumulation);
        _task = BuiltInTasks.Catalog().Create(options);
        _model = _task.BuildModel();
        _model.train();
        var rule = options.Optimizer;
        _optimizer = rule.Name == "sgd"
            ? optim.SGD(_model.parameters(), rule.LearningRate, rule.Momentum, weight_decay: rule.WeightDecay)
            : optim.AdamW(_model.parameters(), rule.LearningRate, rule.Beta1, rule.Beta2, rule.Epsilon, rule.WeightDecay);
    }

    /// <summary>Works until there are no more commands.</summary>
    /// <param name="accumulation">Forward passes of a step.</param>
    /// <param name="keys">The configuration, KEY=VALUE.</param>
    public static void Work(int accumulation, IEnumerable<string> keys)
    {
        var (options, problems) = OptionsReader.ReadRun(keys.Select(k => k.Split('=', 2)).ToDictionary(k => k[0], k => k[1]));
        using var worker = problems.Count == 0 ? new PlainWorker(options, accumulation) : throw new InvalidOperationException(string.Join(' ', problems));
        Console.WriteLine("ready");
        Console.ReadLine();
        while (Console.ReadLine()?.Split(' ') is { } words)
        {
            if (words[0] == "link")
            {
                Console.WriteLine("linked");
                continue;
            }

            // What was cold when somebody else was measured is warm again after one.
            worker.Step();
            var (cpu, started) = (Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
            for (var step = int.Parse(words[3], CultureInfo.InvariantCulture); step > 0; step--)
            {
                worker.Step();
            }

            var took = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{took} {(Environment.CpuUsage.TotalTime - cpu).TotalSeconds}"));
        }
    }

    public void Dispose()
    {
        _optimizer.Dispose();
        _model.Dispose();
        _task.Dispose();
    }

    private void Step()
    {
        for (var pass = 0; pass < _accumulation; pass++)
        {
            using var scope = NewDisposeScope();
            var samples = Enumerable.Range(0, _options.Batch.Micro).Select(_ => _random.NextInt64(_task.Training.Count)).ToArray();
            using var batch = _task.Training.LoadForTraining(samples, new ulong[samples.Length]);
            var loss = _task.Loss(_model, batch);
            (loss.Sum / (loss.Weight * (double)_accumulation)).backward();
        }

        if (_options.Clip.GlobalNorm > 0)
        {
            nn.utils.clip_grad_norm_(_model.parameters(), _options.Clip.GlobalNorm);
        }

        using (NewDisposeScope())
        {
            _optimizer.step();
            _optimizer.zero_grad();
        }
    }
}
