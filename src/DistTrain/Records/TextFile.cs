namespace DistTrain.Records;

/// <summary>Files of text that are written whole or not at all.</summary>
internal static class TextFile
{
    /// <summary>Writes a file in place of what was there, which stays where that fails.</summary>
    /// <param name="file">Its path, in a folder that is there.</param>
    /// <param name="text">Its text.</param>
    /// <exception cref="IOException">It cannot be written.</exception>
    /// <exception cref="UnauthorizedAccessException">It may not be written.</exception>
    public static void Replace(string file, string text)
    {
        var temporary = file + ".tmp";
        try
        {
            File.WriteAllText(temporary, text);
            File.Move(temporary, file, overwrite: true);
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }
    }
}
