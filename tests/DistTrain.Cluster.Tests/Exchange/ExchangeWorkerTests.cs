using System.Text;
using System.Threading.Channels;
using DistTrain.Worker.Benching;
using DistTrain.Worker.Exchange.Links;

namespace DistTrain.Cluster.Tests.Exchange;

/// <summary>Workers of a benchmark of the all-reduce, as its command has them, in one process.</summary>
public sealed class ExchangeWorkerTests
{
    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    [InlineData(5)]
    [InlineData(6)]
    public async Task Any_number_of_workers_reduces(int world)
    {
        var workers = Enumerable.Range(0, world).Select(_ => (Commands: new Commands(), Answers: new Answers())).ToList();
        var running = workers.Select((worker, rank) => ExchangeWorker.RunAsync(rank, world, worker.Commands, worker.Answers)).ToList();
        var addresses = await AnswersAsync();
        await AskAsync(string.Join(' ', addresses));
        foreach (var transport in new[] { Transports.Tcp, Transports.Grpc })
        {
            await AskAsync($"link {transport}");
            Assert.All(await AnswersAsync(), answer => Assert.Equal("linked", answer));
            foreach (var bytes in new[] { 4, 400_000 })
            {
                await AskAsync($"forget {bytes}");
                await AnswersAsync();
                await AskAsync($"run {transport} {bytes} 3");
                Assert.All(await AnswersAsync(), answer => Assert.Equal(3, answer.Split(' ').Length));
                await AskAsync($"check {bytes}");
                Assert.All(await AnswersAsync(), answer => Assert.Equal("done", answer));
            }
        }

        workers.ForEach(worker => worker.Commands.Lines.Writer.Complete());
        Assert.All(await Task.WhenAll(running), Assert.Null);

        Task AskAsync(string line) => Task.WhenAll(workers.Select(worker => worker.Commands.Lines.Writer.WriteAsync(line, TestContext.Current.CancellationToken).AsTask()));

        // One that fails says nothing more: the others would wait for it in vain.
        async Task<IReadOnlyList<string>> AnswersAsync()
        {
            var answers = Task.WhenAll(workers.Select(worker => worker.Answers.Lines.Reader.ReadAsync(TestContext.Current.CancellationToken).AsTask()));
            var first = await Task.WhenAny([answers, .. running]).WaitAsync(TimeSpan.FromSeconds(60), TestContext.Current.CancellationToken);
            Assert.True(first == answers, first == answers ? "" : await (Task<string?>)first);
            return await answers;
        }
    }

    private sealed class Commands : TextReader
    {
        public Channel<string> Lines { get; } = Channel.CreateUnbounded<string>();

        public override async Task<string?> ReadLineAsync() => await Lines.Reader.WaitToReadAsync() && Lines.Reader.TryRead(out var line) ? line : null;
    }

    private sealed class Answers : TextWriter
    {
        public Channel<string> Lines { get; } = Channel.CreateUnbounded<string>();

        public override Encoding Encoding => Encoding.UTF8;

        public override Task WriteLineAsync(string? value) => Lines.Writer.WriteAsync(value!).AsTask();
    }
}
