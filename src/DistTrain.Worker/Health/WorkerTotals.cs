using DistTrain.Core.Membership;

namespace DistTrain.Worker.Health;

/// <summary>What a worker has done since it started. One thread adds, any may read.</summary>
internal sealed class WorkerTotals
{
    private long _operation;
    private long _blocks;
    private long _bytesSent;
    private double _compute;
    private double _exchange;
    private double _wait;

    /// <summary>The last operation that its state contains.</summary>
    public long Operation => Volatile.Read(ref _operation);

    /// <summary>Blocks computed.</summary>
    public long Blocks => Volatile.Read(ref _blocks);

    /// <summary>Bytes sent to other members.</summary>
    public long BytesSent => Volatile.Read(ref _bytesSent);

    /// <summary>Seconds of computing blocks and updates.</summary>
    public double Compute => Volatile.Read(ref _compute);

    /// <summary>Seconds between the own last block and the whole reduced step.</summary>
    public double Exchange => Volatile.Read(ref _exchange);

    /// <summary>Seconds without an operation.</summary>
    public double Wait => Volatile.Read(ref _wait);

    /// <summary>Adds an operation.</summary>
    public void Add(OperationReport report)
    {
        Volatile.Write(ref _operation, (long)report.Operation);
        Volatile.Write(ref _blocks, _blocks + report.Blocks);
        Volatile.Write(ref _bytesSent, _bytesSent + report.BytesSent);
        Volatile.Write(ref _compute, _compute + report.ComputeSeconds + report.ApplySeconds);
        Volatile.Write(ref _exchange, _exchange + report.ExchangeSeconds);
        Volatile.Write(ref _wait, _wait + report.WaitSeconds);
    }
}
