using DistTrain.Core.Batches;
using DistTrain.Core.Planning;
using DistTrain.Core.Runs;
using DistTrain.Core.Sampling;
using DistTrain.Worker;

namespace DistTrain.Cluster.Tests;

public class PlanBookTests
{
    private readonly PlanBook _book = new();

    [Fact]
    public void An_operation_goes_by_the_plan_it_names_though_a_newer_one_has_come()
    {
        _book.Add(Plan(1, cut: 2));
        _book.Add(Plan(2, cut: 3));
        Assert.Equal(new BlockRange(0, 2), _book.SharesOf(Operation(7), 1)[0].Compute.Single());
        Assert.Equal(new BlockRange(0, 3), _book.SharesOf(Operation(8), 2)[0].Compute.Single());
        Assert.Equal(new BlockRange(3, 4), _book.SharesOf(Operation(9), 2)[1].Compute.Single());
    }

    [Fact]
    public void A_plan_that_no_later_operation_can_name_is_forgotten()
    {
        for (var number = 1UL; number <= 1000; number++)
        {
            _book.Add(Plan(number, cut: 2));
            _book.SharesOf(Operation(number), number);
        }

        Refused("Operation 7 goes by plan 999, which the coordinator has not sent: install the same version on both.", () => _book.SharesOf(Operation(7), 999));
    }

    [Fact]
    public void An_unknown_plan_is_named() =>
        Refused("Operation 7 goes by plan 3, which the coordinator has not sent: install the same version on both.", () => _book.SharesOf(Operation(7), 3));

    [Fact]
    public void A_plan_without_the_operations_number_of_blocks_is_named()
    {
        _book.Add(Plan(1, cut: 2));
        Refused(
            "Operation 7 has 3 blocks, for which plan 1 says nothing: install the same version on both.", () => _book.SharesOf(Operation(7, samples: 3), 1));
    }

    [Fact]
    public void Plans_without_operations_do_not_pile_up()
    {
        for (var number = 1; number <= PlanBook.Limit; number++)
        {
            _book.Add(Plan((ulong)number, cut: 2));
        }

        Refused("The coordinator sent 9 plans that no operation has named: install the same version on both.", () => _book.Add(Plan(100, cut: 2)));
    }

    private static void Refused(string sentence, Action action) => Assert.Equal(sentence, Assert.Throws<WorkerException>(action).Message);

    private static BlockPlanTable Plan(ulong number, int cut) =>
        new(number, new Dictionary<int, IReadOnlyList<BlockRange>> { [4] = [new BlockRange(0, cut), new BlockRange(cut, 4)] });

    private static Operation Operation(ulong number, long samples = 4) =>
        new(number, OperationKind.Train, 1, new SampleRange(0, 0, samples), new BatchGeometry(4, 1, 4), 0.1, false, false);
}
