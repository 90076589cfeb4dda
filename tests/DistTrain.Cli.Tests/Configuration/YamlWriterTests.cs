using CsCheck;
using DistTrain.Configuration;

namespace DistTrain.Cli.Tests.Configuration;

/// <summary>Whatever table is written is read back: any text as a value, any nesting of keys.</summary>
public sealed class YamlWriterTests
{
    [Fact]
    public void A_table_is_nested_and_sorted() =>
        Assert.Equal(
            "# hello\na: 1\nb:\n  c: 2s\n  d:\n    e: \"\"\n    f: \"x y\"\n",
            YamlWriter.Write(new Dictionary<string, string> { ["b.d.f"] = "x y", ["b.c"] = "2s", ["a"] = "1", ["b.d.e"] = "" }, "hello"));

    [Fact]
    public void A_key_may_hold_a_value_and_keys() =>
        RoundTrips(new() { ["a"] = "1", ["a.b"] = "2", ["a.b.c"] = "3" });

    [Theory]
    [InlineData("null")]
    [InlineData("~")]
    [InlineData("- x")]
    [InlineData("---")]
    [InlineData("...")]
    [InlineData("a: b")]
    [InlineData("#")]
    [InlineData("*a")]
    [InlineData("\n\t\r\u0001\u0085\u2028\ufeff")]
    [InlineData("'\"\\")]
    [InlineData("ä 世界")]
    public void A_value_of_any_text_survives(string value) => RoundTrips(new() { ["a.b"] = value });

    [Fact]
    public void Any_table_reads_back()
    {
        var key = Gen.Char["abcdefghij-_"].Array[1, 3].Select(c => new string(c)).Array[1, 4].Select(p => string.Join('.', p));
        var value = Gen.Char[" !\"#%&'*,-.:0123?@Aaz[]\\{}|~\n\tä"].Array[0, 8].Select(c => new string(c));
        Gen.Select(key, value).Array[1, 8].Sample(
            entries => RoundTrips(entries.DistinctBy(e => e.Item1).ToDictionary(e => e.Item1, e => e.Item2)),
            iter: 2_000,
            seed: "0000KOIPe036");
    }

    private static void RoundTrips(Dictionary<string, string> values)
    {
        var yaml = YamlTable.Read(YamlWriter.Write(values, "test"), "test");
        Assert.Empty(yaml.Problems);
        Assert.Equal(
            values.OrderBy(e => e.Key, StringComparer.Ordinal).Select(e => (e.Key, (string?)e.Value)),
            yaml.Entries.OrderBy(e => e.Key, StringComparer.Ordinal).Select(e => (e.Key, e.Value)));
    }
}
