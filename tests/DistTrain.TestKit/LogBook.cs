using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace DistTrain.TestKit;

/// <summary>One thing that was logged.</summary>
/// <param name="Level">How grave it is.</param>
/// <param name="Event">The name of the event, such as <c>link-broke</c>.</param>
/// <param name="Text">The message, with the exception's where there is one.</param>
public sealed record LogEntry(LogLevel Level, string Event, string Text);

/// <summary>Keeps what servers log, so that a test asserts on it and the console stays the test runner's.</summary>
public sealed class LogBook : ILoggerProvider
{
    private readonly ConcurrentQueue<LogEntry> _entries = new();

    /// <summary>Everything so far, in order.</summary>
    public IReadOnlyList<LogEntry> Entries => [.. _entries];

    /// <summary>What a healthy run does not log.</summary>
    public IReadOnlyList<LogEntry> Errors => [.. _entries.Where(e => e.Level >= LogLevel.Error)];

    public ILogger CreateLogger(string categoryName) => new Logger(_entries);

    public void Dispose()
    {
    }

    private sealed class Logger(ConcurrentQueue<LogEntry> entries) : ILogger
    {
        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(
            LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
        {
            var text = formatter(state, exception);
            entries.Enqueue(new LogEntry(logLevel, eventId.Name ?? "", exception is null ? text : $"{text}: {exception.Message}"));
        }
    }
}
