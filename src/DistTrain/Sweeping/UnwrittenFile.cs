namespace DistTrain.Sweeping;

/// <summary>What a sweep says where the disk does not take what is written.</summary>
internal static class UnwrittenFile
{
    /// <summary>What the system and the runtime call a full disk. Of the processes of a run only sentences are known.</summary>
    private static readonly string[] FullDisk = ["No space left on device", "disk was full", "not enough space on the disk", "Disk quota exceeded"];

    /// <summary>Whether an exception says that the disk does not take it.</summary>
    public static bool IsRefusal(Exception exception) => exception is IOException or UnauthorizedAccessException;

    /// <summary>Whether a sentence says that a disk is full.</summary>
    public static bool IsFullDisk(string sentence) => Array.Exists(FullDisk, words => sentence.Contains(words, StringComparison.Ordinal));

    /// <summary>Why the sweep ends, with what helps. What it has trained stays.</summary>
    /// <param name="sentence">What cannot be written, where, and the system's words for why.</param>
    public static SweepException Told(string sentence) =>
        new($"{sentence.TrimEnd('.')}. {(IsFullDisk(sentence) ? "Free space" : "Let it be written")} and run the same command again: it goes on.");
}
