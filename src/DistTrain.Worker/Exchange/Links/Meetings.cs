using System.Security.Cryptography;
using DistTrain.Protocol.V1;
using Google.Protobuf;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>What an owner has agreed on with the ranks that are about to call it: one way each, which the next connection with the right token takes.</summary>
/// <param name="settings">What this worker uses.</param>
internal sealed class Meetings(LinkSettings settings)
{
    /// <summary>More than there are; a caller that names more is not heard out.</summary>
    private const int MostTransports = 8;

    private readonly Lock _lock = new();
    private readonly Dictionary<int, Meeting> _agreed = [];

    /// <summary>Agrees on a way; what was agreed on with the same rank before is void.</summary>
    public MeetReply Meet(MeetRequest request)
    {
        var reasons = new List<string>();
        var reply = new MeetReply();
        Meeting? agreed = null;
        foreach (var transport in request.Transports.Take(MostTransports))
        {
            if (Refuse(transport, request, out var content) is { } reason)
            {
                reasons.Add(reason);
                continue;
            }

            agreed = new Meeting(transport, RandomNumberGenerator.GetBytes(Introduction.SecretBytes), request.Proof.ToByteArray(), settings.Folder);
            (reply.Transport, reply.Token, reply.Socket) = (transport, ByteString.CopyFrom(agreed.Token), settings.Socket ?? "");
            reply.Content = ByteString.CopyFrom(content);
            break;
        }

        reply.Reason = string.Join("; ", reasons);
        lock (_lock)
        {
            _agreed.Remove(request.Rank);
            if (agreed is not null)
            {
                _agreed[request.Rank] = agreed;
            }
        }

        return reply;
    }

    /// <summary>What was agreed on with a rank; from here on the caller's.</summary>
    /// <param name="rank">The rank.</param>
    /// <param name="token">What it shows.</param>
    /// <returns>Null where the token is not the one.</returns>
    public Meeting? Claim(int rank, byte[] token)
    {
        lock (_lock)
        {
            return _agreed.TryGetValue(rank, out var meeting) && CryptographicOperations.FixedTimeEquals(meeting.Token, token) && _agreed.Remove(rank) ? meeting : null;
        }
    }

    private string? Refuse(string transport, MeetRequest request, out byte[] content)
    {
        content = [];
        if (settings.Socket is null || !settings.Transports.Contains(transport))
        {
            return $"the other worker does not use {transport}";
        }

        if (transport != Transports.SharedMemory)
        {
            return null;
        }

        try
        {
            content = HostProbe.Read(settings.Folder, request.Probe);
            return null;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException or InvalidDataException or NotSupportedException)
        {
            return e is FileNotFoundException or DirectoryNotFoundException
                ? $"the two workers do not share {settings.Folder}"
                : $"the other worker cannot read this one's file in {settings.Folder} ({e.Message.TrimEnd('.')})";
        }
    }
}

/// <summary>One way that two ranks have agreed on.</summary>
/// <param name="Transport">Its name.</param>
/// <param name="Token">What the caller says first.</param>
/// <param name="Proof">What the owner answers.</param>
/// <param name="Folder">Where memory is that is shared.</param>
internal sealed record Meeting(string Transport, byte[] Token, byte[] Proof, string Folder);
