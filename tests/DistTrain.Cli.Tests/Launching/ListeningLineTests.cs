using DistTrain.Launching;

namespace DistTrain.Cli.Tests.Launching;

/// <summary>The line by which a coordinator says where it listens.</summary>
public sealed class ListeningLineTests
{
    [Fact]
    public void It_reads_back()
    {
        Assert.Equal("""{"listening":"http://127.0.0.1:5400"}""", ListeningLine.Write("http://127.0.0.1:5400"));
        Assert.Equal(new Uri("http://127.0.0.1:5400"), ListeningLine.Read(ListeningLine.Write("http://127.0.0.1:5400")));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("hello")]
    [InlineData("[]")]
    [InlineData("""{"listening":5}""")]
    [InlineData("""{"listening":"here"}""")]
    public void Any_other_line_is_none(string? line) => Assert.Null(ListeningLine.Read(line));
}
