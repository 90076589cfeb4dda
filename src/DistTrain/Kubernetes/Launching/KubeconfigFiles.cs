using k8s;
using k8s.KubeConfigModels;

namespace DistTrain.Kubernetes.Launching;

/// <summary>Several kubeconfig files as one, as kubectl merges them: of what has one name the first counts. Paths in a file are seen from its folder.</summary>
internal static class KubeconfigFiles
{
    /// <summary>Reads files.</summary>
    public static K8SConfiguration Merge(IEnumerable<FileInfo> files)
    {
        var read = files.Select(f => Rooted(KubernetesClientConfiguration.LoadKubeConfig(f, useRelativePaths: false), f.DirectoryName!)).ToList();
        return new K8SConfiguration
        {
            ApiVersion = "v1",
            Kind = "Config",
            CurrentContext = read.Select(r => r.CurrentContext).FirstOrDefault(c => !string.IsNullOrEmpty(c)),
            Clusters = [.. read.SelectMany(r => r.Clusters ?? []).DistinctBy(c => c.Name)],
            Contexts = [.. read.SelectMany(r => r.Contexts ?? []).DistinctBy(c => c.Name)],
            Users = [.. read.SelectMany(r => r.Users ?? []).DistinctBy(u => u.Name)],
        };
    }

    private static K8SConfiguration Rooted(K8SConfiguration file, string folder)
    {
        foreach (var cluster in (file.Clusters ?? []).Select(c => c.ClusterEndpoint).OfType<ClusterEndpoint>())
        {
            cluster.CertificateAuthority = Rooted(cluster.CertificateAuthority, folder);
        }

        foreach (var user in (file.Users ?? []).Select(u => u.UserCredentials).OfType<UserCredentials>())
        {
            user.ClientCertificate = Rooted(user.ClientCertificate, folder);
            user.ClientKey = Rooted(user.ClientKey, folder);
        }

        return file;
    }

    private static string? Rooted(string? path, string folder) => string.IsNullOrEmpty(path) ? path : Path.Combine(folder, path);
}
