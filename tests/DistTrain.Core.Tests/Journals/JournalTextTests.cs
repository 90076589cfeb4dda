using System.Text;
using CsCheck;
using DistTrain.Core.Journals;
using DistTrain.Core.Membership;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Journals;

/// <summary>What was written is read; what was torn is cut; what was damaged is named.</summary>
public sealed class JournalTextTests
{
    private static readonly JournalEntry[] Entries =
    [
        new JournalEntry.Run("00ff", "1.0"),
        new JournalEntry.Term(1, new Dictionary<string, string> { ["batch.global"] = "64" }),
        new JournalEntry.Reference(new WorkerPreparation(100, 10, "data", "layout", "probe", "weights", ["accuracy"], 0, ["a remark"])),
        new JournalEntry.Generation(1, 4, 0),
        new JournalEntry.Rollback(20),
        new JournalEntry.MixedHosts(),
        new JournalEntry.Decision(new RunDecision(OperationKind.Evaluate, 30, 256, "the validation loss has not improved on 0.5 in 3 evaluations")),
        new JournalEntry.Decision(new RunDecision(OperationKind.Train, 31, 0, "it is enough")),
        new JournalEntry.Geometry(new GeometryChange(OperationKind.Evaluate, 20, 8), Since: 3, Operation: 41),
        new JournalEntry.MicroBatch(12),
        new JournalEntry.End(RunStatus.Stopped, "It was asked to end: \"\u00fc\"."),
    ];

    [Fact]
    public void Every_entry_is_read_as_it_was_written()
    {
        var content = JournalText.Read(Write(Entries));
        Assert.Equal(Entries.Select(Text), content.Entries.Select(Text));
        Assert.False(content.IsTorn);
        Assert.Null(content.DamagedLine);
    }

    [Fact]
    public void A_tail_that_was_torn_anywhere_is_cut_to_the_last_whole_line() =>
        Gen.Int[0, Write(Entries).Length].Sample(length =>
        {
            var bytes = Write(Entries)[..length];
            var content = JournalText.Read(bytes);
            Assert.Null(content.DamagedLine);
            Assert.Equal(bytes.Count(b => b == '\n'), content.Entries.Count);
            Assert.Equal(bytes.AsSpan().LastIndexOf((byte)'\n') + 1, content.WholeBytes);
            Assert.Equal(content.WholeBytes < length, content.IsTorn);

            // What is written behind the cut belongs to the lines before it.
            var check = content.Check;
            var repaired = (byte[])[.. bytes[..(int)content.WholeBytes], .. Encoding.UTF8.GetBytes(JournalText.Write(Entries[^1], ref check))];
            Assert.Equal(content.Entries.Count + 1, JournalText.Read(repaired).Entries.Count);
        });

    [Fact]
    public void A_changed_byte_ends_the_lines_that_count_and_is_named_where_others_follow() =>
        Gen.Select(Gen.Int[0, Write(Entries).Length - 1], Gen.Byte[1, 255]).Sample((at, change) =>
        {
            var bytes = Write(Entries);
            bytes[at] ^= change;
            var line = Write(Entries).AsSpan(0, at).Count((byte)'\n');
            var content = JournalText.Read(bytes);
            Assert.Equal(line, content.Entries.Count);
            Assert.True(content.IsTorn);
            var isTorn = at == bytes.Length - 1 || (bytes[at] == 0 && line == Entries.Length - 1);
            Assert.Equal(isTorn ? null : line + 1, content.DamagedLine);
        });

    [Fact]
    public void A_line_that_is_missing_or_twice_is_damage()
    {
        var lines = Encoding.UTF8.GetString(Write(Entries)).Split('\n');
        foreach (var changed in new[] { lines.Where((_, i) => i != 2), lines.SelectMany((l, i) => i == 2 ? new[] { l, l } : [l]) })
        {
            Assert.NotNull(JournalText.Read(Encoding.UTF8.GetBytes(string.Join('\n', changed))).DamagedLine);
        }
    }

    private static byte[] Write(IEnumerable<JournalEntry> entries)
    {
        var check = 0UL;
        return Encoding.UTF8.GetBytes(string.Concat(entries.Select(e => JournalText.Write(e, ref check))));
    }

    private static string Text(JournalEntry entry)
    {
        var check = 0UL;
        return JournalText.Write(entry, ref check);
    }
}
