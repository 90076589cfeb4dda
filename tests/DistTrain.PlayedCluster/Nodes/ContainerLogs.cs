using DistTrain.TestKit.Kubernetes;
using k8s.Models;

namespace DistTrain.PlayedCluster.Nodes;

/// <summary>What one life of a container writes: into a file that holds all its lives, and to whoever follows it through the API.</summary>
internal sealed class ContainerLog(string path) : IDisposable
{
    private const int TailLines = 80;
    private const int TailCharacters = 2048;

    private readonly Queue<string> _tail = new();
    private readonly StreamWriter _file = new(new FileStream(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite)) { AutoFlush = true };

    /// <summary>To be followed.</summary>
    public PodLog Lines { get; } = new();

    /// <summary>What was said last, as FallbackToLogsOnError takes it.</summary>
    public string Tail
    {
        get
        {
            lock (_tail)
            {
                var text = string.Join('\n', _tail);
                return text.Length > TailCharacters ? text[^TailCharacters..] : text;
            }
        }
    }

    /// <summary>Takes a line.</summary>
    public void Write(string line)
    {
        Lines.Write(line);
        lock (_tail)
        {
            _file.WriteLine(line);
            _tail.Enqueue(line);
            if (_tail.Count > TailLines)
            {
                _tail.Dequeue();
            }
        }
    }

    /// <summary>Nothing more comes.</summary>
    public void Dispose()
    {
        Lines.Close();
        _file.Dispose();
    }
}

/// <summary>The logs of all containers.</summary>
/// <param name="folder">Where their files lie.</param>
internal sealed class ContainerLogs(string folder)
{
    private readonly Dictionary<(string Pod, string Container), (ContainerLog Now, ContainerLog? Before)> _logs = [];

    /// <summary>The file with all that a container wrote.</summary>
    public string FileOf(V1Pod pod, V1Container container) => Path.Combine(folder, $"{pod.Metadata.Name}-{container.Name}.log");

    /// <summary>A container begins to write, for the first time or once more.</summary>
    public ContainerLog Begin(V1Pod pod, V1Container container)
    {
        Directory.CreateDirectory(folder);
        var log = new ContainerLog(FileOf(pod, container));
        lock (_logs)
        {
            var key = (pod.Metadata.Name, container.Name);
            _logs[key] = (log, _logs.TryGetValue(key, out var known) ? known.Now : null);
        }

        return log;
    }

    /// <summary>What a container writes, or its predecessor wrote; null where it has not begun.</summary>
    public PodLog? Find(string pod, string container, bool previous)
    {
        lock (_logs)
        {
            return _logs.TryGetValue((pod, container), out var known) ? (previous ? known.Before : known.Now)?.Lines : null;
        }
    }
}
