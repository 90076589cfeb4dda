using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using k8s.Models;

namespace DistTrain.PlayedCluster.Api;

/// <summary>The cluster's certificate authority, and who holds which token.</summary>
internal sealed class Credentials : IDisposable
{
    private readonly string _folder;
    private readonly ClusterState _state;
    private readonly Dictionary<string, string> _accounts = [];
    private readonly X509Certificate2 _authority;

    /// <summary>Makes an authority and the API server's certificate.</summary>
    /// <param name="state">The objects.</param>
    /// <param name="folder">Where the files of service accounts lie.</param>
    public Credentials(ClusterState state, string folder)
    {
        (_state, _folder) = (state, folder);
        Directory.CreateDirectory(folder);
        var (from, until) = (DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow.AddDays(1));
        using var authorityKey = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var authority = new CertificateRequest("CN=played-cluster-ca", authorityKey, HashAlgorithmName.SHA256);
        authority.CertificateExtensions.Add(new X509BasicConstraintsExtension(certificateAuthority: true, false, 0, critical: true));
        authority.CertificateExtensions.Add(new X509KeyUsageExtension(X509KeyUsageFlags.KeyCertSign | X509KeyUsageFlags.CrlSign, critical: true));
        authority.CertificateExtensions.Add(new X509SubjectKeyIdentifierExtension(authority.PublicKey, critical: false));
        _authority = authority.CreateSelfSigned(from, until);

        using var key = ECDsa.Create(ECCurve.NamedCurves.nistP256);
        var server = new CertificateRequest("CN=kubernetes", key, HashAlgorithmName.SHA256);
        var names = new SubjectAlternativeNameBuilder();
        names.AddIpAddress(IPAddress.Parse(Cluster.ApiAddress));
        names.AddDnsName("kubernetes");
        names.AddDnsName("kubernetes.default.svc");
        server.CertificateExtensions.Add(names.Build());
        server.CertificateExtensions.Add(new X509EnhancedKeyUsageExtension([new Oid("1.3.6.1.5.5.7.3.1")], critical: false));
        using var signed = server.Create(_authority, from, until, RandomNumberGenerator.GetBytes(8));
        using var withKey = signed.CopyWithPrivateKey(key);
        Server = X509CertificateLoader.LoadPkcs12(withKey.Export(X509ContentType.Pfx), null);
        AuthorityFile = Path.Combine(folder, "ca.crt");
        File.WriteAllText(AuthorityFile, _authority.ExportCertificatePem());
    }

    /// <summary>The token of whoever plays the administrator, who may do all.</summary>
    public string AdministratorToken { get; } = RandomNumberGenerator.GetHexString(32);

    /// <summary>The API server's certificate, with its key.</summary>
    public X509Certificate2 Server { get; }

    /// <summary>The certificate of the authority.</summary>
    public string AuthorityFile { get; }

    /// <summary>The folder with a pod's token, the authority's certificate and the namespace; null where the pod wants none.</summary>
    public string? FolderFor(V1Pod pod)
    {
        var account = pod.Spec.ServiceAccountName ?? "default";
        if (!(pod.Spec.AutomountServiceAccountToken ?? _state.Find<V1ServiceAccount>(account)?.AutomountServiceAccountToken ?? true))
        {
            return null;
        }

        var folder = Path.Combine(_folder, account);
        lock (_accounts)
        {
            if (!Directory.Exists(folder))
            {
                Directory.CreateDirectory(folder);
                var token = RandomNumberGenerator.GetHexString(32);
                _accounts[token] = account;
                File.WriteAllText(Path.Combine(folder, "token"), token);
                File.WriteAllText(Path.Combine(folder, "namespace"), _state.Space);
                File.Copy(AuthorityFile, Path.Combine(folder, "ca.crt"));
            }
        }

        return folder;
    }

    /// <summary>The service account that holds a token; null where nobody does.</summary>
    public string? AccountOf(string token)
    {
        lock (_accounts)
        {
            return _accounts.GetValueOrDefault(token);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _authority.Dispose();
        Server.Dispose();
    }
}
