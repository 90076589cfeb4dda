using System.Globalization;
using DistTrain.Core.Options;

namespace DistTrain.Training.Data;

/// <summary>Tells people how a transfer gets on: nothing of one that is done within two seconds, then a sentence every five.</summary>
/// <param name="what">What is done to what, such as <c>Downloading http://...</c>.</param>
/// <param name="total">How many bytes there are; null where nobody knows.</param>
/// <param name="time">The clock.</param>
/// <param name="say">Is given the sentences.</param>
public sealed class TransferProgress(string what, long? total, TimeProvider time, Action<string> say)
{
    private static readonly TimeSpan First = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan Every = TimeSpan.FromSeconds(5);
    private readonly long _began = time.GetTimestamp();
    private TimeSpan _next = First;
    private long _done;
    private long _atBegin;

    /// <summary>How many bytes there are, once that is known.</summary>
    public long? Total { get; set; } = total;

    /// <summary>Some bytes were there before: they do not count as fast.</summary>
    public void StartAt(long bytes) => (_done, _atBegin) = (bytes, _atBegin + bytes - _done);

    /// <summary>So many bytes more are done.</summary>
    public void Add(long bytes)
    {
        _done += bytes;
        var elapsed = time.GetElapsedTime(_began);
        if (elapsed >= _next)
        {
            _next = elapsed + Every;
            say(Sentence(elapsed));
        }
    }

    /// <summary>All is done: who was told of the beginning is told of the end.</summary>
    public void End()
    {
        if (_next > First)
        {
            var seconds = time.GetElapsedTime(_began).TotalSeconds;
            say(string.Create(CultureInfo.InvariantCulture, $"{what}: {ByteSize.Format(_done)}, done in {seconds:0.0} s."));
        }
    }

    private string Sentence(TimeSpan elapsed)
    {
        var rate = (_done - _atBegin) / elapsed.TotalSeconds;
        var left = Total is { } all && rate > 0 ? $", {Math.Max(0, all - _done) / rate:0} s left" : "";
        var of = Total is { } known ? $" of {ByteSize.Format(known)}" : "";
        return string.Create(CultureInfo.InvariantCulture, $"{what}: {ByteSize.Format(_done)}{of}, {ByteSize.Format((long)rate)}/s{left}.");
    }
}
