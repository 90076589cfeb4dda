using System.Diagnostics;
using System.Globalization;
using DistTrain.Core.Batches;
using DistTrain.Core.Layouts;
using DistTrain.Core.Options;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Protocol.Hosting;
using DistTrain.Training.Devices;
using DistTrain.Training.Native;
using DistTrain.Training.Replicas;
using DistTrain.Worker;
using DistTrain.Worker.Benching;
using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace DistTrain.Benchmarks.Overlap;

/// <summary>
/// One of two workers that train without a coordinator, told by lines what to do: <c>take MODEL MICRO ACCUMULATION CLIP</c> makes a state and links the two, <c>link</c> links them once more for exchanges alone; <c>compute N</c>, <c>exchange N</c> and
/// <c>step N</c> are answered by milliseconds; the first also by those of a backward pass, the last by the share of the bytes that were sent before the own gradients were computed.
/// </summary>
internal sealed class OverlapWorker : IAsyncDisposable
{
    private const int World = 2;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(60);
    private readonly int _rank;
    private readonly PeerGroupDirectory _groups = new(TimeProvider.System, Patience);
    private readonly LinkDoor _door;
    private readonly ComputeThread _compute = new();
    private readonly PeerGroup _alone = new(default, 0, [new Uri("http://127.0.0.1:1")], TimeSpan.FromSeconds(1));
    private IReadOnlyList<Uri> _addresses = [];
    private ulong _generation;
    private Load? _load;

    private OverlapWorker(int rank)
    {
        _rank = rank;
        _door = new LinkDoor(_groups, TimeProvider.System);
    }

    /// <summary>Does what it is told until there are no more commands.</summary>
    public static async Task WorkAsync(int rank, string address)
    {
        CpuProfile.Apply(threads: 1, RunOptions.NativeInstructions);
        TorchRuntime.Load(threads: 1);
        await using var worker = new OverlapWorker(rank);
        await using var server = GrpcListener.Create(
            $"{address}:0",
            all => all.AddSingleton(new PeerService(worker._groups, new StateSource())).AddSingleton<IConnectionListenerFactory>(new SharedPort(worker._door)),
            LogLevel.Error);
        server.MapGrpcService<PeerService>();
        Console.WriteLine(await GrpcListener.StartAsync(server, $"{address}:0", CancellationToken.None));
        worker._addresses = [.. (await Console.In.ReadLineAsync() ?? "").Split(' ').Select(a => new Uri($"http://{a}"))];
        while (await Console.In.ReadLineAsync() is { } line)
        {
            Console.WriteLine(await worker.ObeyAsync(line.Split(' ')));
        }
    }

    public async ValueTask DisposeAsync()
    {
        await (_load?.DisposeAsync() ?? ValueTask.CompletedTask);
        await _compute.DisposeAsync();
        await _alone.DisposeAsync();
        await _door.DisposeAsync();
    }

    private async Task<string> ObeyAsync(string[] words)
    {
        if (words is ["take", var model, var micro, var accumulation, var clip])
        {
            await (_load?.DisposeAsync() ?? ValueTask.CompletedTask);
            _load = new Load(
                _compute, model, int.Parse(micro, CultureInfo.InvariantCulture), int.Parse(accumulation, CultureInfo.InvariantCulture), clip, await LinkAsync());
            return "taken";
        }

        if (words is ["link"])
        {
            _load!.Exchanging = await LinkAsync();
            return "linked";
        }

        var (times, load) = (int.Parse(words[1], CultureInfo.InvariantCulture), _load!);
        var (started, early, sent) = (Stopwatch.GetTimestamp(), 0L, 0L);
        for (var i = 0; i < times; i++)
        {
            switch (words[0])
            {
                case "compute":
                    await load.Alone.StepAsync(_alone, load.Accumulation);
                    break;
                case "exchange":
                    await load.Vectors.ReduceAsync(load.Exchanging!, ++load.Exchanges, 1);
                    break;
                default:
                    var report = await load.Together.StepAsync(load.Training, load.Accumulation);
                    (early, sent) = (early + report.BytesEarly, sent + report.BytesSent);
                    break;
            }
        }

        var took = Stopwatch.GetElapsedTime(started).TotalMilliseconds / times;
        var besides = words[0] == "compute" ? load.Alone.Backward.TotalMilliseconds : sent == 0 ? 0 : (double)early / sent;
        return string.Create(CultureInfo.InvariantCulture, $"{took} {besides}");
    }

    private async Task<PeerGroup> LinkAsync()
    {
        var group = new PeerGroup(new RunTag(1, 1, ++_generation), _rank, _addresses, Patience, _door.Settings(Transports.Tcp));
        _groups.Set(group);
        using var deadline = new CancellationTokenSource(Patience);
        return await group.LinkAsync(deadline.Token) ? group : throw new WorkerException((await group.Broken).Reason);
    }

    /// <summary>What is measured.</summary>
    private sealed class Load(ComputeThread compute, string model, int micro, int accumulation, string clip, PeerGroup training) : IAsyncDisposable
    {
        public int Accumulation => accumulation;

        public PeerGroup Training => training;

        public PeerGroup? Exchanging { get; set; }

        public ulong Exchanges { get; set; }

        public Trainer Alone { get; } = new(compute, model, micro, clip);

        public Trainer Together { get; } = new(compute, model, micro, clip);

        public ExchangeVectors Vectors => _vectors ??= new ExchangeVectors(training.Rank, World, Together.Layout.Count * sizeof(float));

        private ExchangeVectors? _vectors;

        public async ValueTask DisposeAsync()
        {
            await training.DisposeAsync();
            await (Exchanging?.DisposeAsync() ?? ValueTask.CompletedTask);
            await Alone.DisposeAsync();
            await Together.DisposeAsync();
            _vectors?.Dispose();
        }
    }

    /// <summary>A state and its steps.</summary>
    private sealed class Trainer : IAsyncDisposable
    {
        private readonly ComputeThread _compute;
        private readonly LayeredTask _task;
        private readonly Replica _replica;
        private readonly StepExecutor _executor;
        private readonly int _micro;

        public Trainer(ComputeThread compute, string model, int micro, string clip)
        {
            (_compute, _micro, _task) = (compute, micro, new LayeredTask(model));
            var (options, problems) = OptionsReader.ReadRun(new Dictionary<string, string>
            {
                ["task"] = "layered",
                ["model.name"] = model,
                ["data.name"] = "constants",
                ["batch.global"] = $"{micro}",
                ["batch.micro"] = $"{micro}",
                ["optimizer.learningRate"] = "0.0001",
                ["clip.globalNorm"] = clip,
                ["stop.epochs"] = "1",
            });
            var settings = problems.Count == 0 ? options : throw new InvalidOperationException(string.Join(' ', problems));
            _replica = compute.RunAsync(() => new Replica(_task, settings, ComputeDevice.Cpu)).GetAwaiter().GetResult();
            _executor = new StepExecutor(
                _replica, applied: 0, compute, foldPerWorker: false, afterMicroBatch: () => Backward = Stopwatch.GetElapsedTime(_task.ForwardEnded), TimeProvider.System);
        }

        public ParameterLayout Layout => _replica.Layout;

        /// <summary>How long the last backward pass took.</summary>
        public TimeSpan Backward { get; private set; }

        /// <summary>A step in which every worker accumulates as many micro-batches, a block each.</summary>
        public async Task<Core.Membership.OperationReport> StepAsync(PeerGroup peers, int accumulation)
        {
            var (number, blocks) = (_executor.Applied + 1, accumulation * peers.WorldSize);
            var operation = new Operation(
                number, OperationKind.Train, (long)number, new SampleRange(0, 0, blocks * _micro), new BatchGeometry(blocks * _micro, _micro, blocks), 1e-4,
                WritesCheckpoint: false, IsLast: false);
            var shares = Enumerable.Range(0, peers.WorldSize).Select(r => WorkShare.Of(new BlockRange(r * accumulation, (r + 1) * accumulation))).ToList();
            return (await _executor.ExecuteAsync(operation, shares, peers, CancellationToken.None))!;
        }

        public async ValueTask DisposeAsync()
        {
            await _compute.RunAsync(() =>
            {
                _executor.Dispose();
                _replica.Dispose();
            });
            _task.Dispose();
        }
    }
}
