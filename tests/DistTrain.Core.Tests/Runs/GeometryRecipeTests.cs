using DistTrain.Core.Batches;
using DistTrain.Core.Runs;

namespace DistTrain.Core.Tests.Runs;

/// <summary>What people are told who want the same run again.</summary>
public sealed class GeometryRecipeTests
{
    private static readonly GeometrySchedule Schedule = new(new BatchGeometry(100, 32, 8), new GeometryChange(OperationKind.Train, 50, 24));

    [Fact]
    public void One_change_of_a_step_is_one_key_beside_the_first_size() =>
        Assert.Equal("A run with batch.micro=32, batch.microFrom.7=16, and no other batch.microFrom, has the same bits.", new GeometrySchedule(new BatchGeometry(100, 32, 8)).With(new GeometryChange(OperationKind.Train, 7, 16)).Recipe);

    [Fact]
    public void Every_change_in_force_is_named_and_one_that_was_dropped_is_not()
    {
        var schedule = Schedule.With(new GeometryChange(OperationKind.Train, 60, 12));
        Assert.Equal("A run with batch.micro=32, batch.microFrom.50=24, batch.microFrom.60=12, and no other batch.microFrom, has the same bits.", schedule.Recipe);
        Assert.Equal("A run with batch.micro=32, batch.microFrom.7=12, and no other batch.microFrom, has the same bits.", schedule.With(new GeometryChange(OperationKind.Train, 7, 12)).Recipe);
    }

    [Fact]
    public void Of_an_evaluation_no_more_is_promised_than_holds() => Assert.Equal(
        "A run with batch.micro=32, batch.microFrom.10=16, and no other batch.microFrom, has the same weights. The loss of the evaluation after step 9 may differ in its last digits.",
        Schedule.With(new GeometryChange(OperationKind.Evaluate, 9, 16)).Recipe);
}
