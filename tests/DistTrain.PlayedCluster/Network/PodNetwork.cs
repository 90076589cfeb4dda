using k8s.Models;

namespace DistTrain.PlayedCluster.Network;

/// <summary>
/// The network between pods: each has a namespace and an address of its own, and is routed through the node's namespace, where Services and policies are applied to every packet.
/// </summary>
internal sealed class PodNetwork
{
    /// <summary>The node, as pods see it.</summary>
    public const string NodeAddress = "10.244.0.1";

    private const string Gateway = "169.254.1.1";

    private int _last = 1;

    /// <summary>Makes this process's own network namespace a node's.</summary>
    public static async Task<PodNetwork> CreateAsync()
    {
        foreach (var (file, value) in new[] { ("ip_forward", "1"), ("conf/all/rp_filter", "0"), ("conf/default/rp_filter", "0") })
        {
            await File.WriteAllTextAsync($"/proc/sys/net/ipv4/{file}", value);
        }

        Directory.CreateDirectory("/run/netns");
        await Shell.RunAsync("mount", ["-t", "tmpfs", "none", "/run/netns"]);
        await BatchAsync($"""
            link set lo up
            addr add {NodeAddress}/32 dev lo
            addr add {NameServer.Address}/32 dev lo
            addr add {Cluster.ApiAddress}/32 dev lo
            """);
        await ApplyAsync($"table {Ruleset.Table}");
        return new PodNetwork();
    }

    /// <summary>The name of a pod's namespace.</summary>
    public static string NameOf(V1Pod pod) => pod.Metadata.Name;

    /// <summary>Gives a pod its namespace and an address that no pod had before.</summary>
    public async Task<string> ConnectAsync(string name)
    {
        var number = Interlocked.Increment(ref _last);
        var address = $"10.244.{number / 256}.{number % 256}";
        var link = $"pod{number}";
        await BatchAsync($"""
            netns add {name}
            link add {link} type veth peer name eth0 netns {name}
            addr add {Gateway}/32 dev {link}
            link set {link} up
            route add {address}/32 dev {link} src {NodeAddress}
            """);
        await BatchAsync($"""
            link set lo up
            addr add {address}/32 dev eth0
            link set eth0 up
            route add {Gateway} dev eth0 scope link
            route add default via {Gateway} src {address}
            """, name);
        return address;
    }

    /// <summary>Takes a pod's namespace away, and with it its link.</summary>
    public static async Task DisconnectAsync(string name) => await Shell.TryAsync("ip", ["netns", "delete", name], null, TimeSpan.FromSeconds(10));

    /// <summary>Replaces what the node filters and translates.</summary>
    public static Task ApplyAsync(string rules) => Shell.RunAsync("nft", ["-f", "-"], rules);

    private static Task BatchAsync(string commands, string? space = null) =>
        Shell.RunAsync("ip", space is null ? ["-batch", "-"] : ["-n", space, "-batch", "-"], commands);
}
