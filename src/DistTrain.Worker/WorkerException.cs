namespace DistTrain.Worker;

/// <summary>A worker cannot begin or go on. The message is a sentence for the user.</summary>
public sealed class WorkerException(string message, Exception? inner = null) : Exception(message, inner);
