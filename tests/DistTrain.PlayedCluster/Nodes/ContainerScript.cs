using System.Text;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>
/// The script that turns a shell in new mount, process, host name and message namespaces into a container's process: a root of its own, mounts, user, no privileges.
/// </summary>
internal static class ContainerScript
{
    private static readonly string[] Devices = ["null", "zero", "full", "random", "urandom"];

    /// <summary>The script of a container.</summary>
    public static string Of(ContainerSpec spec)
    {
        var text = new StringBuilder("set -eu\n");
        foreach (var group in spec.ControlGroups)
        {
            text.Append($"echo 0 > {Shell.Quote(group)}\n");
        }

        text.Append($"echo {Shell.Quote(spec.HostName)} > /proc/sys/kernel/hostname\n");
        Root(text, spec);
        if (!Image.Runtime.StartsWith("/usr/", StringComparison.Ordinal))
        {
            Bind(text, new Mount(Image.Runtime, Image.Runtime, IsReadOnly: true));
        }

        foreach (var mount in spec.Mounts.OrderBy(m => m.Path, StringComparer.Ordinal))
        {
            Bind(text, mount);
        }

        Bind(text, new Mount(spec.TerminationLog, spec.TerminationPath, IsReadOnly: false, IsFile: true));
        text.Append("mkdir .former\npivot_root . .former\ncd /\numount -l /.former\nrmdir /.former\n");
        if (spec.Identity.ReadOnlyRoot)
        {
            text.Append("mount -o remount,ro /dev\nmount -o remount,ro /\n");
        }

        text.Append($"cd {Shell.Quote(spec.WorkingFolder ?? "/")}\n");
        text.Append($"exec {Privileges(spec.Identity)} env -i {Words(spec.Environment.Select(e => $"{e.Key}={e.Value}"))} {Words(spec.Command)}\n");
        return text.ToString();
    }

    /// <summary>The command that gives up what a container's process may not have.</summary>
    public static string Privileges(Identity identity)
    {
        var groups = identity.Groups.Count == 0 ? "--clear-groups" : $"--groups {string.Join(',', identity.Groups)}";
        var drop = identity.DropAll ? " --inh-caps=-all --ambient-caps=-all --bounding-set=-all" : "";
        return $"setpriv --reuid {identity.User} --regid {identity.Group} {groups}{drop}{(identity.NoNewPrivileges ? " --no-new-privs" : "")} --";
    }

    private static void Root(StringBuilder text, ContainerSpec spec)
    {
        text.Append($"""
            mkdir -p {Shell.Quote(spec.Root)}
            mount -t tmpfs -o mode=755,size=1m none {Shell.Quote(spec.Root)}
            cd {Shell.Quote(spec.Root)}
            mkdir -p usr etc/ssl etc/alternatives proc dev run var sys .{Image.ProgramFolder}
            mkdir -m 1777 tmp
            for link in bin sbin lib lib64; do ln -s usr/$link $link; done
            mount -o bind,ro /usr usr
            mount -o bind,ro {Shell.Quote(spec.Image.Folder)} .{Image.ProgramFolder}
            mount -o bind,ro /etc/ssl etc/ssl
            mount -o bind,ro /etc/alternatives etc/alternatives
            cp /etc/ld.so.cache {spec.EtcFolder}/* etc/
            echo 'root:x:0:0::/:/bin/sh' > etc/passwd
            echo 'nonroot:x:65532:65532::/:/bin/sh' >> etc/passwd
            echo 'hosts: files dns' > etc/nsswitch.conf
            mount -t proc none proc
            mount -t tmpfs -o mode=755,size=64k none dev
            mkdir dev/shm
            mount -t tmpfs -o mode=1777,size=64m none dev/shm
            ln -s /proc/self/fd dev/fd

            """);
        foreach (var device in Devices)
        {
            text.Append($"touch dev/{device}\nmount -o bind /dev/{device} dev/{device}\n");
        }
    }

    private static void Bind(StringBuilder text, Mount mount)
    {
        var target = Shell.Quote("." + mount.Path);
        var source = Shell.Quote(mount.Source);
        var make = mount.IsFile ? $"mkdir -p {Shell.Quote("." + Path.GetDirectoryName(mount.Path))}\ntouch {target}" : $"mkdir -p {target}";
        text.Append($"{make}\nmount -o bind{(mount.IsReadOnly ? ",ro" : "")} {source} {target}\n");
    }

    private static string Words(IEnumerable<string> words) => string.Join(' ', words.Select(Shell.Quote));
}
