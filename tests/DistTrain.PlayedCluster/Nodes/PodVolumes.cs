using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>The folders behind a pod's volumes: a claim's outlives the pod, all others end with it.</summary>
/// <param name="state">The objects.</param>
/// <param name="folder">The pod's folder.</param>
/// <param name="claims">The folder of all claims.</param>
/// <param name="credentials">The folder of its service account; null where the pod has none.</param>
internal sealed class PodVolumes(ClusterState state, string folder, string claims, string? credentials)
{
    private const string CredentialsPath = "/var/run/secrets/kubernetes.io/serviceaccount";

    private readonly Dictionary<string, (string Folder, bool IsReadOnly)> _folders = [];
    private readonly List<string> _mounted = [];

    /// <summary>Makes the volumes of a pod.</summary>
    /// <returns>What is missing; null where all are there.</returns>
    public async Task<string?> PrepareAsync(V1Pod pod)
    {
        foreach (var volume in pod.Spec.Volumes ?? [])
        {
            var path = Path.Combine(folder, "volumes", volume.Name);
            switch (volume)
            {
                case { PersistentVolumeClaim: { } claim }:
                    if (state.Find<V1PersistentVolumeClaim>(claim.ClaimName) is null)
                    {
                        return $"persistentvolumeclaim \"{claim.ClaimName}\" not found";
                    }

                    path = Path.Combine(claims, claim.ClaimName);
                    await OwnAsync(path, pod);
                    _folders[volume.Name] = (path, claim.ReadOnlyProperty == true);
                    break;
                case { ConfigMap: { } map }:
                    if (state.Find<V1ConfigMap>(map.Name) is not { } source)
                    {
                        return $"configmap \"{map.Name}\" not found";
                    }

                    WriteFiles(path, source.Data, map.Items);
                    _folders[volume.Name] = (path, true);
                    break;
                case { EmptyDir: { } empty }:
                    Directory.CreateDirectory(path);
                    var size = empty.SizeLimit is { } limit ? $",size={limit.ToInt64()}" : "";
                    await Shell.RunAsync("mount", ["-t", "tmpfs", "-o", $"mode=0777{size}", "none", path]);
                    _mounted.Add(path);
                    await OwnAsync(path, pod);
                    _folders[volume.Name] = (path, false);
                    break;
                default:
                    throw new NotPlayedException($"the kind of the volume {volume.Name}");
            }
        }

        return null;
    }

    /// <summary>Where a container finds them.</summary>
    public IReadOnlyList<Mount> Of(V1Container container)
    {
        var mounts = (container.VolumeMounts ?? []).Select(mount =>
        {
            var (source, isReadOnly) = _folders[mount.Name];
            var path = Path.Combine(source, mount.SubPath ?? "");
            return new Mount(path, mount.MountPath, isReadOnly || mount.ReadOnlyProperty == true, File.Exists(path));
        });
        return credentials is null ? [.. mounts] : [.. mounts, new Mount(credentials, CredentialsPath, IsReadOnly: true)];
    }

    /// <summary>Ends what ends with the pod.</summary>
    public async Task EndAsync()
    {
        foreach (var path in _mounted)
        {
            await Shell.TryAsync("umount", ["--lazy", path], null, TimeSpan.FromSeconds(10));
        }
    }

    /// <summary>fsGroup: a volume belongs to the group, which may write, and so does whatever is made in it.</summary>
    private static async Task OwnAsync(string path, V1Pod pod)
    {
        Directory.CreateDirectory(path);
        if (pod.Spec.SecurityContext?.FsGroup is { } group)
        {
            await Shell.RunAsync("chgrp", [$"{group}", path]);
            await Shell.RunAsync("chmod", ["g+rwxs", path]);
        }
    }

    private static void WriteFiles(string path, IDictionary<string, string>? data, IList<V1KeyToPath>? items)
    {
        Directory.CreateDirectory(path);
        foreach (var (key, value) in data ?? new Dictionary<string, string>())
        {
            var name = items is null ? key : items.FirstOrDefault(i => i.Key == key)?.Path;
            if (name is not null)
            {
                Directory.CreateDirectory(Path.GetDirectoryName(Path.Combine(path, name))!);
                File.WriteAllText(Path.Combine(path, name), value);
            }
        }
    }
}
