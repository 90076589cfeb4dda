using System.ComponentModel;
using System.ComponentModel.DataAnnotations;
using DistTrain.Core.Options;

namespace DistTrain.Core.Tests.Options;

public class OptionsReaderTests
{
    [Fact]
    public void Defaults_are_kept_where_a_key_is_missing()
    {
        var (options, problems) = OptionsReader.Read<ModelKeys>(new Dictionary<string, string>());
        Assert.Empty(problems);
        Assert.Equal(new ModelKeys(), options);
    }

    [Fact]
    public void Every_supported_type_is_read_and_keys_have_no_case()
    {
        var (options, problems) = OptionsReader.Read<ModelKeys>(new Dictionary<string, string>
        {
            ["NAME"] = "cnn",
            ["hidden"] = "7",
            ["Dropout"] = "2.5e-1",
            ["wide"] = "TRUE",
            ["seed"] = "18446744073709551615",
            ["tokens"] = "-9223372036854775808",
            ["pause"] = "1.5s",
            ["limit"] = "12",
        });
        Assert.Empty(problems);
        Assert.Equal(
            new ModelKeys
            {
                Name = "cnn",
                Hidden = 7,
                Dropout = 0.25,
                Wide = true,
                Seed = ulong.MaxValue,
                Tokens = long.MinValue,
                Pause = TimeSpan.FromSeconds(1.5),
                Limit = 12,
            },
            options);
    }

    [Fact]
    public void What_is_written_reads_back()
    {
        var options = new ModelKeys { Name = "x", Dropout = 1 / 3.0, Pause = new(3), Tokens = -5, Wide = true };
        var (read, problems) = OptionsReader.Read<ModelKeys>(OptionsReader.Write(options));
        Assert.Empty(problems);
        Assert.Equal(options, read);
    }

    [Fact]
    public void Messages_of_a_section_carry_its_path()
    {
        var (_, problems) = OptionsReader.Read<ModelKeys>(
            new Dictionary<string, string> { ["hidden"] = "x", ["drop"] = "1", ["droput"] = "1" }, "model");
        Assert.Equal(
            [
                "model.hidden is 'x': must be a whole number between 1 and 64.",
                "model.drop is '1': no such key; see disttrain train --help (the nearest is model.dropout).",
                "model.droput is '1': no such key; see disttrain train --help (the nearest is model.dropout).",
            ],
            problems.Select(p => p.ToString()));
    }

    [Fact]
    public void A_pattern_says_itself_what_it_wants()
    {
        var (_, problems) = OptionsReader.Read<Patterned>(new Dictionary<string, string> { ["colour"] = "7" });
        Assert.Equal("colour is '7': must be small letters.", Assert.Single(problems).ToString());
    }

    [Fact]
    public void Every_key_is_listed_with_default_and_description()
    {
        var keys = OptionsReader.Keys(typeof(RunOptions)).ToDictionary(k => k.Key);
        Assert.Equal(("64", "samples of one optimizer step over all workers", false), About("batch.global"));
        Assert.Equal(("2s", true), (About("failureDetection").Default, About("failureDetection").HostOnly));
        Assert.True(About("checkpoint.keep").HostOnly);
        Assert.All(keys.Values, key => Assert.NotEqual("", key.Description));

        (string Default, string Description, bool HostOnly) About(string key) =>
            (keys[key].Default, keys[key].Description, keys[key].HostOnly);
    }

    private sealed record Patterned
    {
        [Description("what it is painted with: a colour"), RegularExpression("[a-z]+", ErrorMessage = "must be small letters")]
        public string Colour { get; init; } = "red";
    }

    private sealed record ModelKeys
    {
        public string Name { get; init; } = "mlp";

        [Description("neurons"), Range(1, 64)]
        public int Hidden { get; init; } = 32;

        public double Dropout { get; init; }

        public bool Wide { get; init; }

        public ulong Seed { get; init; }

        public long Tokens { get; init; }

        public TimeSpan Pause { get; init; }

        public int? Limit { get; init; }
    }
}
