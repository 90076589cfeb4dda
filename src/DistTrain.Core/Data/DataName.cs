using System.Text;

namespace DistTrain.Core.Data;

/// <summary>Names of files as they stand in an archive or in a list from another machine: paths below a folder, parts separated by slashes. None of them is believed.</summary>
public static class DataName
{
    private const int MaxBytes = 1024;
    private const int MaxPartBytes = 255;

    /// <summary>Takes away what archivers put around a name: <c>./</c> before it, and a slash behind that of a folder.</summary>
    public static string Trim(string name)
    {
        while (name.StartsWith("./", StringComparison.Ordinal))
        {
            name = name[2..];
        }

        return name.TrimEnd('/');
    }

    /// <summary>Why a name cannot be one of a file below a folder, as the end of a sentence; null where it can.</summary>
    public static string? Problem(string name)
    {
        if (name.Length == 0)
        {
            return "is empty";
        }

        if (name.Length > MaxBytes || Encoding.UTF8.GetByteCount(name) > MaxBytes)
        {
            return $"is longer than {MaxBytes} bytes";
        }

        if (name.Any(c => char.IsControl(c) || c == '\\'))
        {
            return "has a backslash or a control character";
        }

        foreach (var part in name.Split('/'))
        {
            if (part is "" or "." or "..")
            {
                return "leads out of its folder";
            }

            if (Encoding.UTF8.GetByteCount(part) > MaxPartBytes)
            {
                return $"has a part longer than {MaxPartBytes} bytes";
            }
        }

        return null;
    }

    /// <summary>A name fit to be shown in a sentence, whatever it holds.</summary>
    public static string Show(string name)
    {
        var shown = new string([.. name.Take(200).Select(c => char.IsControl(c) ? '?' : c)]);
        return name.Length > 200 ? $"'{shown}...'" : $"'{shown}'";
    }
}
