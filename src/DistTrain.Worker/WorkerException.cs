namespace DistTrain.Worker;

/// <summary>A worker cannot begin or go on. The message is a sentence for the user.</summary>
public class WorkerException(string message, Exception? inner = null) : Exception(message, inner);

/// <summary>The coordinator does not let this worker in.</summary>
internal sealed class RefusedException(string message) : WorkerException(message);
