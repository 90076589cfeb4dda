namespace DistTrain.PlayedCluster.Nodes;

/// <summary>
/// What stands for a container image: the program's folder, and this machine's /usr with the few files of /etc that every program needs, all of it read-only and
/// all that pods have in common.
/// </summary>
/// <param name="Name">The name by which pods ask for it.</param>
/// <param name="Folder">The program's folder on this machine.</param>
internal sealed record Image(string Name, string Folder)
{
    /// <summary>Where containers find the program.</summary>
    public const string ProgramFolder = "/opt/disttrain";

    /// <summary>Where the runtime lies, at the same path for the containers: the one that runs this program.</summary>
    public static string Runtime { get; } = Path.GetFullPath(Path.Combine(Path.GetDirectoryName(typeof(object).Assembly.Location)!, "../../.."));

    /// <summary>Its environment.</summary>
    public IReadOnlyDictionary<string, string> Environment { get; } = new Dictionary<string, string>
    {
        ["PATH"] = $"{ProgramFolder}:/usr/local/bin:/usr/bin",
        ["DOTNET_ROOT"] = Runtime,
        ["HOME"] = "/",
    };

    /// <summary>What is started where a container states no command.</summary>
    public IList<string> Entrypoint { get; } = ["disttrain"];
}
