using System.Reflection;
using System.Security.Cryptography;
using System.Text;
using DistTrain.Core.Options;

namespace DistTrain.Protocol;

/// <summary>What both sides of a connection compare before anything else.</summary>
public static class ProgramIdentity
{
    /// <summary>The version of this program, such as 0.1.0.</summary>
    public static string Version { get; } =
        typeof(ProgramIdentity).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion ?? "unknown";

    /// <summary>SHA-256 over the keys that decide the bits of a run, in hexadecimal.</summary>
    public static string Fingerprint(RunOptions options) =>
        Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(string.Join('\n', OptionsReader.IdentityLines(options)))));
}
