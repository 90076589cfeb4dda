using DistTrain.PlayedCluster;
using DistTrain.PlayedCluster.Plays;

const string Usage = "usage: DistTrain.PlayedCluster OBJECTS PROGRAM FOLDER [--short] [PLAY...]\n"
    + "  OBJECTS   the rendered objects, many documents of YAML\n"
    + "  PROGRAM   the folder of the program: what stands for the image\n"
    + "  FOLDER    an empty folder for volumes and logs\n"
    + "  PLAY      scale, mistake, exhausted, strangers, launched; all where left away, with --short all but the last";
string[] all = ["scale", "mistake", "exhausted", "strangers", "launched"];
var isShort = args.Contains("--short");
if (args.Where(a => a != "--short").ToArray() is not [var objects, var program, var folder, .. var plays] || plays.Except(all).Any())
{
    Console.Error.WriteLine(Usage);
    return 2;
}

if (!Sandbox.IsInside)
{
    return Sandbox.Enter(args);
}

var tally = new Tally();
Stage stage;
try
{
    stage = await Stage.BuildAsync(objects, program, folder, isShort, tally);
}
catch (InvalidOperationException refused)
{
    return Sandbox.Refuse($"cannot be set up here: {refused.Message}");
}

foreach (var name in plays.Length > 0 ? plays : isShort ? all[..^1] : all)
{
    await tally.PlayAsync(name, name switch
    {
        "scale" => new ScalePlay(stage).RunAsync,
        "mistake" => new MistakePlay(stage).RunAsync,
        "exhausted" => new ExhaustedPlay(stage).RunAsync,
        "strangers" => new StrangersPlay(stage).RunAsync,
        _ => new LaunchedPlay(stage).RunAsync,
    });
    var left = Sandbox.Left();
    tally.Check("no process and no network of a pod is left", left.Count == 0, string.Join(", ", left));
}

return tally.Finish();
