using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;

namespace DistTrain.Benchmarks;

/// <summary>
/// What TCP on this machine does when nobody adds anything: every process sends the bytes of an all-reduce to the next one and receives as many from the one before, both
/// at once, with blocking calls. Spoken to as DistTrain's own exchange worker.
/// </summary>
internal static class SocketWorker
{
    private const int Piece = 1 << 18;

    public static void Work(int rank, int world)
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        Console.WriteLine(listener.LocalEndpoint);
        var addresses = Console.ReadLine()!.Split(' ');
        using var next = new TcpClient { NoDelay = true };
        next.Connect(IPEndPoint.Parse(addresses[(rank + 1) % world]));
        using var previous = listener.AcceptTcpClient();
        previous.NoDelay = true;
        var (output, input) = (new byte[Piece], new byte[Piece]);
        while (Console.ReadLine()?.Split(' ') is { } words)
        {
            if (words[0] == "link")
            {
                Console.WriteLine("linked");
                continue;
            }

            var (size, times) = (long.Parse(words[2], CultureInfo.InvariantCulture), int.Parse(words[3], CultureInfo.InvariantCulture));
            var (cpu, started) = (Environment.CpuUsage.TotalTime, Stopwatch.GetTimestamp());
            Move(next.Client, previous.Client, output, input, 2 * (world - 1) * size / world, times);
            var took = Stopwatch.GetElapsedTime(started).TotalMilliseconds;
            Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{took} {(Environment.CpuUsage.TotalTime - cpu).TotalSeconds}"));
        }
    }

    private static void Move(Socket next, Socket previous, byte[] output, byte[] input, long bytes, int times)
    {
        if (bytes <= Piece)
        {
            for (var i = 0; i < times; i++)
            {
                SendAll(next, output, bytes);
                ReceiveAll(previous, input, bytes);
            }

            return;
        }

        var sending = new Thread(() => SendAll(next, output, bytes * times));
        sending.Start();
        ReceiveAll(previous, input, bytes * times);
        sending.Join();
    }

    private static void SendAll(Socket socket, byte[] buffer, long bytes)
    {
        for (var left = bytes; left > 0;)
        {
            left -= socket.Send(buffer, 0, (int)Math.Min(left, buffer.Length), SocketFlags.None);
        }
    }

    private static void ReceiveAll(Socket socket, byte[] buffer, long bytes)
    {
        for (var left = bytes; left > 0;)
        {
            var received = socket.Receive(buffer, 0, (int)Math.Min(left, buffer.Length), SocketFlags.None);
            left -= received > 0 ? received : throw new InvalidOperationException("The process before has ended.");
        }
    }
}
