namespace DistTrain.Training.Tasks;

/// <summary>Data are missing, damaged or of the wrong kind. The message names the file and the remedy, in one sentence for the user.</summary>
public sealed class DataException(string message, Exception? inner = null) : Exception(message, inner);
