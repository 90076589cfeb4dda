using DistTrain.Benchmarks;
using DistTrain.Benchmarks.Overlap;
using DistTrain.Benchmarks.Scale;

const string Usage = "usage: dotnet run -c Release --project tests/DistTrain.Benchmarks -- allreduce|training|scaling|tree|kernels|checkpoint|heal|scale|overlap|loading "
    + "[--pairs N] [--steps N] [--global N] [--millions N] [--workers N] [--model NAME] [--results FOLDER]";
if (args is ["socket-worker", var rank, var world])
{
    SocketWorker.Work(int.Parse(rank), int.Parse(world));
    return 0;
}

if (args is ["overlap-worker", var end, var address])
{
    await OverlapWorker.WorkAsync(int.Parse(end), address);
    return 0;
}

if (args is ["plain-worker", var accumulation, .. var keys])
{
    PlainWorker.Work(int.Parse(accumulation), keys);
    return 0;
}

if (args is not [var name, .. var rest] || Settings.Read(rest) is not { } settings)
{
    Console.Error.WriteLine(Usage);
    return 2;
}

Func<Task>? benchmark = name switch
{
    "allreduce" => () => AllReducePeers.RunAsync(settings.Pairs ?? 15, settings.Workers),
    "training" => () => TrainingPeers.RunAsync(settings.Pairs ?? 15, settings.Workers, settings.Model ?? ""),
    "scaling" => () => Scaling.RunAsync(settings.Pairs ?? 9, settings.Steps ?? 60, settings.Global ?? 512),
    "tree" => () => TreeCost.RunAsync(settings.Pairs ?? 15),
    "kernels" => () => Kernels.RunAsync(settings.Pairs ?? 15),
    "checkpoint" => () => CheckpointPause.RunAsync(settings.Pairs ?? 15, settings.Millions ?? 100),
    "heal" => () => Healing.RunAsync(settings.Pairs ?? 9, settings.Steps ?? 8, settings.Millions ?? 100),
    "scale" => () => CoordinatorScale.RunAsync(settings.Workers is { } workers ? [workers] : [10, 100, 1000], settings.Pairs ?? 15),
    "overlap" => () => OverlapShare.RunAsync(settings.Pairs ?? 15, settings.Model ?? ""),
    "loading" => () => LoadingShare.RunAsync(settings.Pairs ?? 150),
    _ => null,
};
if (benchmark is null)
{
    Console.Error.WriteLine(Usage);
    return 2;
}

var page = settings.Results is { } folder ? new ResultPage(folder, DateOnly.FromDateTime(DateTime.UtcNow), Console.Out) : null;
if (page is not null)
{
    Console.SetOut(page);
}

Console.WriteLine($"# {name}\n\n`{string.Join(' ', args)}` on {Machine.Describe()}\nLoad average before: {Machine.LoadAverage()}\n");
await benchmark();
Console.WriteLine($"\nLoad average after: {Machine.LoadAverage()}");
page?.Save();
return 0;
