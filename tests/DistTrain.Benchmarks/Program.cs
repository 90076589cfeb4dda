using DistTrain.Benchmarks;
using DistTrain.Benchmarks.Scale;

const string Usage = "usage: dotnet run -c Release --project tests/DistTrain.Benchmarks -- scaling|tree|kernels|checkpoint|heal|exchange|scale [--pairs N] [--steps N] [--global N] [--millions N] [--workers N]";
if (args is ["exchange-worker", var rank, var world])
{
    await Exchanging.WorkAsync(int.Parse(rank), int.Parse(world));
    return 0;
}

if (args is not [var name, .. var rest] || Read(rest) is not { } settings)
{
    Console.Error.WriteLine(Usage);
    return 2;
}

Func<Task>? benchmark = name switch
{
    "scaling" => () => Scaling.RunAsync(settings.Pairs ?? 9, settings.Steps ?? 60, settings.Global ?? 512),
    "tree" => () => TreeCost.RunAsync(settings.Pairs ?? 15),
    "kernels" => () => Kernels.RunAsync(settings.Pairs ?? 15),
    "checkpoint" => () => CheckpointPause.RunAsync(settings.Pairs ?? 15, settings.Millions ?? 100),
    "heal" => () => Healing.RunAsync(settings.Pairs ?? 9, settings.Steps ?? 8, settings.Millions ?? 100),
    "exchange" => () => Exchanging.RunAsync(settings.Pairs ?? 15),
    "scale" => () => CoordinatorScale.RunAsync(settings.Workers is { } workers ? [workers] : [10, 100, 1000], settings.Pairs ?? 15),
    _ => null,
};
if (benchmark is null)
{
    Console.Error.WriteLine(Usage);
    return 2;
}

Console.WriteLine($"# {name}\n\n`{string.Join(' ', args)}` on {Machine.Describe()}\nLoad average before: {Machine.LoadAverage()}\n");
await benchmark();
Console.WriteLine($"\nLoad average after: {Machine.LoadAverage()}");
return 0;

static (int? Pairs, int? Steps, int? Global, int? Millions, int? Workers)? Read(string[] rest)
{
    (int? Pairs, int? Steps, int? Global, int? Millions, int? Workers) read = default;
    for (var i = 0; i < rest.Length; i += 2)
    {
        if (i + 1 == rest.Length || !int.TryParse(rest[i + 1], out var value) || value < 1)
        {
            return null;
        }

        switch (rest[i])
        {
            case "--pairs": read.Pairs = value; break;
            case "--steps": read.Steps = value; break;
            case "--global": read.Global = value; break;
            case "--millions": read.Millions = value; break;
            case "--workers": read.Workers = value; break;
            default: return null;
        }
    }

    return read;
}
