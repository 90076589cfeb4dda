using CsCheck;
using DistTrain.Core.Planning;

namespace DistTrain.Core.Tests.Planning;

/// <summary>What the direct exchange moves, and up to how many workers it holds.</summary>
public class DirectExchangeTests
{
    private const int Chunk = DirectExchange.ChunkBytes;

    [Theory]
    [InlineData(1, 4000, 1, 0, 0, 0, 0)]
    [InlineData(2, 4000, 1, 2, 2, 2, 4000 + 160)]
    [InlineData(4, 4L * Chunk, 1, 12, 6, 6, 6L * Chunk + 480)]
    [InlineData(4, 4L * Chunk + 4, 1, 12, 6, 12, 6L * Chunk + 6 + 960)]
    [InlineData(4, 4L * Chunk, 3, 12, 6, 12, 12L * Chunk + 960)]
    [InlineData(1000, 400, 1, 999_000, 1998, 1998, 799 + 159_840)]
    public void Every_pair_has_a_flow_and_every_flow_a_message_each_way(
        int workers, long vector, int nodes, long flows, int connections, long messages, long bytes)
    {
        var exchange = new DirectExchange(workers, vector, nodes);
        Assert.Equal((flows, connections, messages, bytes), (exchange.Flows, exchange.Connections, exchange.Messages, exchange.Bytes));
    }

    [Fact]
    public void It_costs_its_messages_and_its_bytes() =>
        Assert.Equal(2 * 3.0 + 4160 * 0.5, new ExchangeCost(3, 0.5).Seconds(new DirectExchange(2, 4000)));

    [Theory]
    [InlineData(4_000, 1)]
    [InlineData(1_000_000, 50)]
    [InlineData(10_000_000, 500)]
    public void By_the_measured_costs_a_vector_of_so_many_bytes_holds_up_to_about_so_many_workers(long vector, int about) =>
        Assert.InRange(ExchangeCost.Measured.MostWorkers(vector), about, about + about / 50 + 1);

    [Fact]
    public void Up_to_the_limit_messages_cost_no_more_than_bytes_and_with_one_worker_more_they_do() =>
        Gen.Select(Gen.Long[1, 1L << 28], Gen.Double[1e-6, 1e-3]).Sample((vector, perMessage) =>
        {
            var cost = new ExchangeCost(perMessage, 1e-9);
            var limit = cost.MostWorkers(vector, most: 300);
            return (limit == 1 || Holds(limit)) && (limit == 300 || !Holds(limit + 1));

            bool Holds(int workers)
            {
                var exchange = new DirectExchange(workers, vector);
                return exchange.Messages * cost.SecondsPerMessage <= exchange.Bytes * cost.SecondsPerByte;
            }
        });
}
