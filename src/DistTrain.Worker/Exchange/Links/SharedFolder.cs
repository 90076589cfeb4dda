using System.Globalization;
using System.Security.Cryptography;
using System.Text.RegularExpressions;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>What workers have in the folder of a host's shared memory: probes and segments, each under a name of its own and with its whole memory from the start.</summary>
internal static partial class SharedFolder
{
    /// <summary>The folder.</summary>
    public const string Standard = "/dev/shm";

    /// <summary>In a probe's name, where a segment's has its owner.</summary>
    public const string Probe = "probe";

    private const string Prefix = "disttrain-";
    private static readonly TimeSpan Young = TimeSpan.FromMinutes(1);

    /// <summary>Makes a file that only this user may read. What the file system has no room for is an error now, not a signal later.</summary>
    /// <param name="folder"><see cref="Standard"/>, or what a test has in its place.</param>
    /// <param name="tag">Whose it is; part of its name.</param>
    /// <param name="rank">The worker.</param>
    /// <param name="what">What it is: <see cref="Probe"/>, or a segment's owner.</param>
    /// <param name="bytes">How large it is.</param>
    /// <exception cref="IOException">There is no room, or no such folder.</exception>
    /// <exception cref="UnauthorizedAccessException">The folder may not be written.</exception>
    public static FileStream Create(string folder, RunTag tag, int rank, string what, int bytes)
    {
        var nonce = Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(8));
        var path = Path.Combine(folder, string.Create(CultureInfo.InvariantCulture, $"{Prefix}{tag.Run:x16}-{tag.Generation}-{rank}-{what}-{nonce}"));

        // Whoever has it open holds a shared lock, which the system takes from a process that is killed: that is how the next one knows what is left over.
        var options = new FileStreamOptions
        {
            Mode = FileMode.CreateNew,
            Access = FileAccess.ReadWrite,
            Share = FileShare.ReadWrite,
            PreallocationSize = bytes,
            BufferSize = 0,
        };
        if (!OperatingSystem.IsWindows())
        {
            options.UnixCreateMode = UnixFileMode.UserRead | UnixFileMode.UserWrite;
        }

        var file = Allocate(folder, path, options);
        try
        {
            file.SetLength(bytes);
            return file;
        }
        catch
        {
            File.Delete(path);
            file.Dispose();
            throw;
        }
    }

    /// <summary>Opens a file that another process has made.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="name">Its name, as that process says.</param>
    /// <param name="access">What for.</param>
    /// <param name="bytes">How large it has to be.</param>
    /// <exception cref="IOException">There is none of that name here.</exception>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    /// <exception cref="InvalidDataException">It is no such file.</exception>
    public static FileStream Open(string folder, string name, FileAccess access, int bytes)
    {
        if (!Names().IsMatch(name))
        {
            throw new InvalidDataException($"'{name}' is no name of a worker's file");
        }

        var path = Path.Combine(folder, name);
        if (new FileInfo(path) is { LinkTarget: not null })
        {
            throw new InvalidDataException($"{path} is a link");
        }

        var file = new FileStream(path, new FileStreamOptions { Access = access, Share = FileShare.ReadWrite, BufferSize = 0 });
        if (file.Length != bytes)
        {
            file.Dispose();
            throw new InvalidDataException($"{path} has not {bytes:N0} bytes");
        }

        return file;
    }

    /// <summary>Takes away what processes left behind that were killed while a file of theirs had its name. Nothing else's: its name says what it is, and so does its length.</summary>
    /// <param name="folder">Where.</param>
    /// <param name="now">By the clock of that file system. One that is just being made is left alone.</param>
    public static void Sweep(string folder, DateTime now)
    {
        foreach (var file in new DirectoryInfo(folder).EnumerateFiles($"{Prefix}*"))
        {
            try
            {
                if (IsOurs(file) && now - file.LastWriteTimeUtc > Young)
                {
                    using var abandoned = new FileStream(file.FullName, FileMode.Open, FileAccess.ReadWrite, FileShare.None);
                    file.Delete();
                }
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // Somebody has it still, or it is another user's.
            }
        }
    }

    /// <summary>Whether it is a probe or a segment. One whose process was killed before it had its length is empty.</summary>
    private static bool IsOurs(FileInfo file) =>
        Names().Match(file.Name) is { Success: true } name
        && file.LinkTarget is null
        && (file.Length == 0 || file.Length == (name.Groups["what"].Value == Probe ? HostProbe.Bytes : SharedSegment.Bytes));

    [GeneratedRegex($@"\A{Prefix}[0-9a-f]{{16}}-[0-9]{{1,20}}-[0-9]{{1,10}}-(?<what>[0-9]{{1,10}}|{Probe})-[0-9a-f]{{16}}\z", RegexOptions.ExplicitCapture)]
    private static partial Regex Names();

    private static FileStream Allocate(string folder, string path, FileStreamOptions options)
    {
        try
        {
            return new FileStream(path, options);
        }
        catch (IOException e) when (Directory.Exists(folder) && new DriveInfo(folder).AvailableFreeSpace < options.PreallocationSize)
        {
            throw new IOException($"{folder} has no room for another {options.PreallocationSize:N0} bytes", e);
        }
    }
}
