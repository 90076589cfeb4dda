using DistTrain.Coordinator;
using DistTrain.Coordinator.Checkpoints;
using DistTrain.TestKit;
using Mark = DistTrain.Coordinator.Checkpoints.BestMarks.Mark;

namespace DistTrain.Cluster.Tests;

/// <summary>The checkpoint with the lowest validation loss is known, also to a later process.</summary>
public sealed class BestCheckpointTests : IDisposable
{
    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Fact]
    public void The_checkpoint_of_the_evaluated_step_counts_or_else_the_first_that_comes_after_it()
    {
        var marks = new BestMarks().AfterEvaluation(10, 2.0, [0, 10, 20]);
        Assert.Equal(new BestMarks(new Mark(10, 10, 2.0)), marks);
        marks = marks.AfterEvaluation(20, 1.5, [0, 10]);
        Assert.Equal(new BestMarks(new Mark(10, 10, 2.0), new Mark(20, 20, 1.5)), marks);
        Assert.Equal(marks, marks.AfterPublication(15));
        Assert.Equal(marks, marks.AfterEvaluation(21, 1.5, []));
        Assert.Equal(new BestMarks(new Mark(10, 10, 2.0), new Mark(21, 21, 1.0)), marks.AfterEvaluation(21, 1.0, []));
        Assert.Equal(new BestMarks(new Mark(25, 20, 1.5)), marks.AfterPublication(25));
    }

    [Theory]
    [InlineData(2.0)]
    [InlineData(3.0)]
    [InlineData(double.NaN)]
    [InlineData(double.NegativeInfinity)]
    public void What_is_no_better_changes_nothing(double loss)
    {
        var marks = new BestMarks(new Mark(10, 10, 2.0));
        Assert.Equal(marks, marks.AfterEvaluation(20, loss, [10, 20]));
    }

    [Fact]
    public void Marks_outlive_the_process_and_those_of_a_checkpoint_that_is_gone_do_not()
    {
        new BestCheckpoint(_folder.Path, Disk.Instance).Change(_ => new BestMarks(new Mark(10, 9, 2.0), new Mark(20, 20, 1.0)));
        Assert.Equal(10, Read([0, 10]));
        Assert.Null(Read([0]));
        File.WriteAllText(Path.Combine(_folder.Path, "best.json"), "{ no JSON");
        Assert.Null(Read([0, 10]));

        long? Read(long[] published)
        {
            var best = new BestCheckpoint(_folder.Path, Disk.Instance);
            best.Read(published);
            return best.Step;
        }
    }

    [Fact]
    public void Marks_that_find_no_room_are_written_with_the_next()
    {
        var disk = new FullDisk();
        var best = new BestCheckpoint(_folder.Path, disk);
        disk.Fill(_ => true);
        best.Change(_ => new BestMarks(new Mark(10, 10, 2.0)));
        Assert.Equal(10, best.Step);
        Assert.Empty(Directory.GetFiles(_folder.Path));
        disk.Fill(_ => false);
        best.Change(marks => marks);
        var read = new BestCheckpoint(_folder.Path, disk);
        read.Read([10]);
        Assert.Equal(10, read.Step);
    }
}
