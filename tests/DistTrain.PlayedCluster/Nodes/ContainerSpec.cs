namespace DistTrain.PlayedCluster.Nodes;

/// <summary>A folder or file of the node that a container sees at a path of its own.</summary>
internal sealed record Mount(string Source, string Path, bool IsReadOnly, bool IsFile = false);

/// <summary>All that a container's process is started with.</summary>
internal sealed record ContainerSpec
{
    public required string Name { get; init; }

    public required string HostName { get; init; }

    /// <summary>The name of its pod's network namespace.</summary>
    public required string Network { get; init; }

    public required Image Image { get; init; }

    public required IReadOnlyList<string> Command { get; init; }

    public required IReadOnlyDictionary<string, string> Environment { get; init; }

    public required Identity Identity { get; init; }

    public required IReadOnlyList<Mount> Mounts { get; init; }

    /// <summary>The files that a kubelet writes into /etc: hosts, hostname, resolv.conf.</summary>
    public required string EtcFolder { get; init; }

    /// <summary>The file behind its termination message path.</summary>
    public required string TerminationLog { get; init; }

    public required string TerminationPath { get; init; }

    public string? WorkingFolder { get; init; }

    /// <summary>The files to write "0" to, which take a process into its control groups.</summary>
    public required IReadOnlyList<string> ControlGroups { get; init; }

    /// <summary>The folder that becomes its root.</summary>
    public required string Root { get; init; }
}
