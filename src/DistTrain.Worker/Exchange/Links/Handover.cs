using System.Net.Sockets;
using System.Text;

namespace DistTrain.Worker.Exchange.Links;

/// <summary>
/// How the memory of a call comes from caller to owner, once the two have proved themselves to each other on their socket: the caller makes it and says its name, the owner maps
/// it and says what it reads there. So nothing is made for a peer that is not there.
/// </summary>
internal static class Handover
{
    /// <summary>The caller's part.</summary>
    /// <param name="socket">The socket between the two.</param>
    /// <param name="create">Makes the segment.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>The segment, which has no name any more.</returns>
    /// <exception cref="InvalidDataException">The owner has not mapped it.</exception>
    public static async Task<SharedSegment> GiveAsync(Socket socket, Func<SharedSegment> create, CancellationToken cancellation)
    {
        var segment = create();
        try
        {
            var name = Encoding.ASCII.GetBytes(segment.Name);
            await Introduction.SendAsync(socket, (byte[])[(byte)name.Length, .. name], cancellation);
            var seen = await Introduction.ReceiveAsync(socket, SharedSegment.ContentBytes, cancellation);
            if (!segment.Content.SequenceEqual(seen))
            {
                throw new InvalidDataException(seen is null ? "the other worker cannot use this one's segment" : "the other worker reads something else in this one's segment");
            }

            segment.Unlink();
            return segment;
        }
        catch
        {
            segment.Dispose();
            throw;
        }
    }

    /// <summary>The owner's part.</summary>
    /// <param name="socket">The socket between the two.</param>
    /// <param name="folder">Where the segment is.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <returns>Null where the caller has none after all.</returns>
    /// <exception cref="IOException">There is none of that name here.</exception>
    /// <exception cref="UnauthorizedAccessException">It is another user's.</exception>
    /// <exception cref="InvalidDataException">It is no segment.</exception>
    public static async Task<SharedSegment?> TakeAsync(Socket socket, string folder, CancellationToken cancellation)
    {
        if (await Introduction.ReceiveAsync(socket, 1, cancellation) is not [var length] || await Introduction.ReceiveAsync(socket, length, cancellation) is not { } name)
        {
            return null;
        }

        var segment = SharedSegment.Open(folder, Encoding.ASCII.GetString(name));
        try
        {
            await Introduction.SendAsync(socket, segment.Content.ToArray(), cancellation);
            return segment;
        }
        catch
        {
            segment.Dispose();
            throw;
        }
    }
}
