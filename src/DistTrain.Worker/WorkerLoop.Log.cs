using Microsoft.Extensions.Logging;

namespace DistTrain.Worker;

/// <content>What it logs.</content>
internal sealed partial class WorkerLoop
{
    private static partial class Log
    {
        [LoggerMessage(1, LogLevel.Information, "Prepared: {Parameters} parameters on {Device}, probe {Probe}, weights {Weights}", EventName = "prepared")]
        public static partial void Prepared(ILogger logger, long parameters, string device, string probe, string weights);

        [LoggerMessage(9, LogLevel.Information, "Micro-batches: {Sentence}", EventName = "micro-batch")]
        public static partial void MicroBatch(ILogger logger, string sentence);

        [LoggerMessage(11, LogLevel.Warning, "{Sentence}", EventName = "memory-limit")]
        public static partial void MemoryLimit(ILogger logger, string sentence);

        [LoggerMessage(10, LogLevel.Information, "Memory: {Sentence}", EventName = "allocated")]
        public static partial void Allocated(ILogger logger, string sentence);

        [LoggerMessage(2, LogLevel.Information, "Member: generation {Generation}, rank {Rank} of {WorldSize}", EventName = "member")]
        public static partial void Member(ILogger logger, ulong generation, int rank, int worldSize);

        [LoggerMessage(12, LogLevel.Information, "Linked: generation {Generation}, {Ways}", EventName = "linked")]
        public static partial void Linked(ILogger logger, ulong generation, string ways);

        [LoggerMessage(3, LogLevel.Warning, "Rank {Peer}: {Reason}", EventName = "link-broke")]
        public static partial void LinkBroke(ILogger logger, int peer, string reason);

        [LoggerMessage(4, LogLevel.Error, "Operation {Operation}: {Sentence}", EventName = "failed")]
        public static partial void Failed(ILogger logger, ulong operation, string sentence, Exception? exception);
    }
}
