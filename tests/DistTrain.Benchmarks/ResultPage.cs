using System.Text;

namespace DistTrain.Benchmarks;

/// <summary>Writes what a benchmark prints into a dated page besides, under a heading of its own; the first of a day begins the page.</summary>
internal sealed class ResultPage : TextWriter
{
    private readonly TextWriter _console;
    private readonly StringBuilder _text = new();
    private readonly string _path;
    private readonly bool _isNew;

    /// <summary>A page for what is printed from here on.</summary>
    /// <param name="folder">Where pages lie.</param>
    /// <param name="day">Whose page.</param>
    /// <param name="console">Where everything is printed as well.</param>
    public ResultPage(string folder, DateOnly day, TextWriter console)
    {
        _console = console;
        _path = Path.Combine(Directory.CreateDirectory(folder).FullName, $"{day:yyyy-MM-dd}.md");
        _isNew = !File.Exists(_path);
        if (_isNew)
        {
            _text.Append($"# {day:yyyy-MM-dd}\n\n");
        }
    }

    /// <inheritdoc/>
    public override Encoding Encoding => Encoding.UTF8;

    /// <inheritdoc/>
    public override void Write(char value)
    {
        _console.Write(value);
        _text.Append(value);
    }

    /// <summary>Files the page, whole; a benchmark that failed leaves it as it was.</summary>
    public void Save()
    {
        // A title of what is printed is a section of the page.
        var sections = _text.ToString().Split('\n').Select((line, index) => line.StartsWith('#') && !(_isNew && index == 0) ? $"#{line}" : line);
        var earlier = _isNew ? "" : File.ReadAllText(_path) + "\n";
        File.WriteAllText(_path + ".tmp", earlier + string.Join('\n', sections));
        File.Move(_path + ".tmp", _path, overwrite: true);
    }
}
