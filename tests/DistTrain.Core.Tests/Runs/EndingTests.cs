using DistTrain.Core.Options;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

/// <summary>Why a run ends, or its batch grows, is said so that it is true of the losses that were shown.</summary>
public sealed class EndingTests
{
    [Theory]
    [InlineData("the validation loss has not improved on 0.23453 by more than 0.2 in 1 evaluation", 0.2, 0.23453, 0.1646)]
    [InlineData("the validation loss has not improved on 0.1646 in 2 evaluations", 0, 0.1646, 0.2, 0.1646)]
    [InlineData("the validation loss has not been a finite number in 2 evaluations", 0.2, double.NaN, double.NaN)]
    public void The_reason_names_the_improvement_that_was_asked_for(string reason, double least, params double[] losses)
    {
        var patience = losses.Length - (double.IsNaN(losses[0]) ? 0 : 1);
        var stop = new RunOptions { Stop = new StopOptions { Epochs = 9, Patience = patience, MinimumImprovement = least } };
        Assert.Equal((0, reason), Last(stop, losses));

        var plateau = new BatchScheduleOptions { Name = BatchScheduleOptions.Plateau, Most = 256, Patience = patience, MinimumImprovement = least };
        Assert.Equal((128, reason), Last(new RunOptions { Batch = new BatchOptions { Schedule = plateau }, Stop = new StopOptions { Epochs = 9 } }, losses));
    }

    private static (long, string) Last(RunOptions options, double[] losses)
    {
        var (decider, course) = (new RunDecider(options), new RunCourse(options, 1000, 10));
        var decided = losses.Select((loss, i) => decider.Take(new OperationEvidence(OperationKind.Evaluate, 16 * (i + 1), loss, null), course)).ToList();
        Assert.All(decided[..^1], Assert.Null);
        return (decided[^1]!.Batch, decided[^1]!.Reason);
    }
}
