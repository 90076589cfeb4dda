using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

/// <summary>The keys that say where a run's data lie: every contradiction is named, and none of them is part of a run's identity.</summary>
public sealed class DataLocationTests
{
    private const string Hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    [Theory]
    [InlineData("path=/x")]
    [InlineData("url=https://h/x.tar.gz sha256=" + Hash)]
    [InlineData("url=HTTP://h/x sha256=E3B0C44298FC1C149AFBF4C8996FB92427AE41E4649B934CA495991B7852B855 cache=500MB")]
    [InlineData("stream=true")]
    [InlineData("stream=true path=/x cache=1.5TiB")]
    [InlineData("stream=true url=http://h:8/x?a=b sha256=" + Hash)]
    [InlineData("stream=false path=/x")]
    public void What_goes_together_is_no_problem(string settings) => Assert.Empty(Problems(settings));

    [Theory]
    [InlineData("url=https://h/x", "data.sha256 is not set: set it to what sha256sum prints for what lies at data.url, so that every host trains on the same data.")]
    [InlineData("sha256=" + Hash, "data.sha256 is '" + Hash + "': has no effect without data.url; set that to an http or https address, or leave both away.")]
    [InlineData("url=http://h/x sha256=12", "data.sha256 is '12': must be the 64 hexadecimal digits that sha256sum prints for what lies at data.url.")]
    [InlineData("url=ftp://h/x sha256=" + Hash, "data.url is 'ftp://h/x': must be an address that begins with http:// or https://; for a file or folder set data.path.")]
    [InlineData("url=/mine sha256=" + Hash, "data.url is '/mine': must be an address that begins with http:// or https://; for a file or folder set data.path.")]
    [InlineData("url=http://me:pw@h/x sha256=" + Hash,
        "data.url is 'http://me:pw@h/x': must not carry a name or password, which would stand in the run's folder; give an address that needs none.")]
    [InlineData("url=http://h/x path=/x sha256=" + Hash, "data.path is '/x': data.url says where the data lie, too; keep one of the two.")]
    [InlineData("url=http://h/x path=/x stream=true sha256=" + Hash, "data.path is '/x': data.url says where the data lie, too; keep one of the two.")]
    [InlineData("stream=perhaps", "data.stream is 'perhaps': must be true or false.")]
    [InlineData("cache=5GiB path=/x", "data.cache is '5GiB': has no effect without data.url or data.stream; set one of them or leave it away.")]
    [InlineData("stream=true cache=much", "data.cache is 'much': must be an amount of bytes above 0, such as 10GiB or 500MB.")]
    [InlineData("stream=true cache=99999999999999TB", "data.cache is '99999999999999TB': must be less than 8 EiB, which is 2^63 bytes.")]
    [InlineData("stream=true cache=0", "data.cache is '0': must be an amount of bytes above 0, such as 10GiB or 500MB.")]
    public void What_contradicts_is_named_with_a_remedy(string settings, string problem) => Assert.Equal([problem], Problems(settings));

    [Fact]
    public void All_mistakes_come_at_once() => Assert.Equal(
        ["data.cache", "data.path", "data.sha256", "data.stream", "data.url"],
        Read("url=ftp://h/x sha256=12 path=/x stream=perhaps cache=much").Select(p => p.Key).Order(StringComparer.Ordinal));

    [Fact]
    public void A_host_with_the_data_at_a_path_has_no_other_way()
    {
        var run = new RunOptions { Data = Section("name=idx url=http://h/x sha256=12 stream=true cache=1GB path=/x Shift=2") };
        Assert.Equal(["Shift=2", "name=idx", "path=/here"], DataLocation.At(run, "/here").Data.Values.Select(v => $"{v.Key}={v.Value}").Order(StringComparer.Ordinal));
        Assert.Equal(["Shift=2", "name=idx"], DataLocation.At(run, null).Data.Values.Select(v => $"{v.Key}={v.Value}").Order(StringComparer.Ordinal));
    }

    [Theory]
    [InlineData("data.path", true)]
    [InlineData("data.url", true)]
    [InlineData("Data.SHA256", true)]
    [InlineData("data.stream", true)]
    [InlineData("data.cache", true)]
    [InlineData("data.name", false)]
    [InlineData("data.url.x", false)]
    [InlineData("model.path", false)]
    public void These_keys_are_free(string key, bool isFree) => Assert.Equal(isFree, DataLocation.Holds(key));

    [Theory]
    [InlineData("1", 1)]
    [InlineData("10GiB", 10L << 30)]
    [InlineData("1.5 kB", 1500)]
    [InlineData("2mib", 2 << 20)]
    [InlineData("7B", 7)]
    [InlineData("2Ki", 2L << 10)]
    [InlineData("1.5Mi", 3L << 19)]
    [InlineData("2Gi", 2L << 30)]
    [InlineData("1Ti", 1L << 40)]
    [InlineData("2g", 0)]
    [InlineData("1TB", 1_000_000_000_000)]
    [InlineData("0.0001kB", 1)]
    [InlineData("GiB", 0)]
    [InlineData("-1GB", 0)]
    [InlineData("9999999999TiB", 0)]
    [InlineData("1e9", 0)]
    [InlineData("", 0)]
    public void Amounts_of_bytes_are_read_as_people_write_them(string text, long bytes)
    {
        Assert.Equal(bytes > 0, ByteSize.TryParse(text, out var read));
        Assert.Equal(bytes, read);
    }

    [Theory]
    [InlineData(0, "0 bytes")]
    [InlineData(999, "999 bytes")]
    [InlineData(1530, "1.53 kB")]
    [InlineData(500_000_000, "500 MB")]
    [InlineData(12_340_000_000, "12.3 GB")]
    public void And_written_with_three_digits(long bytes, string text) => Assert.Equal(text, ByteSize.Format(bytes));

    private static OptionSection Section(string settings) =>
        new("data", settings.Split(' ').Select(s => s.Split('=', 2)).ToDictionary(s => s[0], s => s[1], StringComparer.OrdinalIgnoreCase));

    private static IReadOnlyList<OptionProblem> Read(string settings) => DataLocation.Read(Section(settings)).Problems;

    private static IEnumerable<string> Problems(string settings) => Read(settings).Select(p => p.ToString());
}
