using System.Text.RegularExpressions;
using DistTrain.Core.Options;

namespace DistTrain.Cli.Tests.Verbs;

/// <summary>Help teaches: every verb with examples, every option, every key.</summary>
public sealed partial class HelpTests
{
    public static TheoryData<string, string> Options() => new()
    {
        { "train", "--set --workers --allow-mixed-hosts --out --resume --checkpoint --port --max-restarts --faults --json" },
        { "coordinator", "--set --workers --allow-mixed-hosts --out --resume --checkpoint --listen --health --scale-down --json" },
        { "worker", "--set --coordinator --listen --advertise --number --wait --data --device --stay --health --scale-down --job" },
        { "plan", "--set --workers --verbose --measure --price-per-worker-hour --plot --json" },
        { "tune", "--set --workers --plot --json" },
        {
            "sweep",
            "--set --batches --rates --optimizers --seeds --target --samples --parallel --out --keep-schedule --branch --json --on --queue --image --name --dry-run --namespace --context --kubeconfig"
        },
        { "plot", "--value --over --range --log --out" },
        { "verify", "--json" },
        { "audit", "--json" },
        { "predict", "--prompt --length --temperature --seed --input --count --data --json" },
        { "recipes", "--json" },
        { "bench allreduce", "--workers --sizes --transports --rounds --json" },
        { "bench step", "--set --workers --steps --rounds --json" },
        { "bench recover", "--set --workers --kills --restarts --out --json" },
        { "launch", "" },
        {
            "launch kubernetes",
            "--set --allow-mixed-hosts --workers --image --name --dry-run --detach --start-timeout --json --namespace --context --kubeconfig"
        },
        { "status", "--json --namespace --context --kubeconfig" },
        { "scale", "--workers --json --namespace --context --kubeconfig" },
        { "logs", "--worker --coordinator --follow --previous --tail --json --namespace --context --kubeconfig" },
        { "delete", "--keep-data --delete-data --timeout --json --namespace --context --kubeconfig" },
    };

    [Theory]
    [MemberData(nameof(Options))]
    public async Task Help_shows_every_option_and_an_example(string verb, string options)
    {
        var (code, text, error) = await Cli.RunAsync([.. verb.Split(' '), "--help"]);
        Assert.Equal((0, ""), (code, error));
        Assert.All(options.Split(' ', StringSplitOptions.RemoveEmptyEntries), option => Assert.Contains($"{option} ", text.Replace('\n', ' '), StringComparison.Ordinal));
        Assert.Contains("Examples:", text, StringComparison.Ordinal);

        // No option may appear that this list does not know: whoever adds one says what it is for here.
        var shown = text.Split('\n').Select(l => l.TrimStart()).Where(l => l.StartsWith('-')).SelectMany(l => l.Split(' ', ',')).Where(w => w.StartsWith("--", StringComparison.Ordinal));
        Assert.Equal(options.Split(' ', StringSplitOptions.RemoveEmptyEntries).Append("--help").Order(), shown.Distinct().Order());
    }

    [Theory]
    [MemberData(nameof(Options))]
    public async Task Help_shows_defaults_as_a_user_would_type_them(string verb, string options)
    {
        var (_, text, _) = await Cli.RunAsync([.. verb.Split(' '), "--help"]);
        foreach (var line in text.Split('\n').Where(l => l.Contains(" [default: ", StringComparison.Ordinal)))
        {
            var (name, value) = (DefaultOf().Match(line).Groups[1].Value, DefaultOf().Match(line).Groups[2].Value);
            Assert.Contains(name, options.Split(' '));

            // Beside a mistake nothing runs: the text is told whether the option takes its own default.
            var (_, _, error) = await Cli.RunAsync([.. verb.Split(' '), "--no-such-option", name, value]);
            Assert.DoesNotContain($"{name} is ", error, StringComparison.Ordinal);
            Assert.StartsWith("error: ", error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("sweep", "0.5x,1x,2x")]
    [InlineData("bench allreduce", "4KB,1MB,25MB,100MB,400MB")]
    [InlineData("bench allreduce", "shared-memory,tcp,grpc")]
    [InlineData("bench step", "1,2")]
    public async Task Help_shows_the_default_of_a_list_between_commas(string verb, string list) =>
        Assert.Contains($" [default: {list}]\n", (await Cli.RunAsync([.. verb.Split(' '), "--help"])).Out, StringComparison.Ordinal);

    [GeneratedRegex(@"(--[a-z-]+).* \[default: (.*)\]$")]
    private static partial Regex DefaultOf();

    [Fact]
    public async Task Help_of_recovery_names_its_limits_and_what_is_done()
    {
        var (_, text, _) = await Cli.RunAsync("bench", "recover", "--help");
        Assert.All(["500 ms", "2,500 ms", "2,000 ms", "one worker is stopped", "95 of 100"], told => Assert.Contains(told, text, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Help_of_train_shows_every_key_of_the_configuration()
    {
        var (_, text, _) = await Cli.RunAsync("train", "--help");
        Assert.All(OptionsReader.Keys(typeof(RunOptions)), key => Assert.Contains($"\n  {key.Key} ", text, StringComparison.Ordinal));
        Assert.Contains("\nKeys of the task toy:\n  model.name", text, StringComparison.Ordinal);
        Assert.Contains("\n  data.count    (0)\n", text, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("", "Required command was not provided.")]
    [InlineData("trian", "'trian'")]
    [InlineData("train --nonsense", "'--nonsense'")]
    [InlineData("train a b", "'b'")]
    [InlineData("train --port 70000", "--port is '70000': must be a whole number between 0 and 65535.")]
    [InlineData("train --port x", "--port is 'x': must be a whole number between 0 and 65535.")]
    [InlineData("worker", "'--coordinator' is required")]
    [InlineData("worker --coordinator here", "--coordinator is 'here': must be an address such as http://127.0.0.1:5400.")]
    [InlineData("worker --coordinator ftp://here", "--coordinator is 'ftp://here': must be an address such as http://127.0.0.1:5400.")]
    [InlineData("worker --coordinator https://x:1", "--coordinator is 'https://x:1': must be an address such as http://127.0.0.1:5400; this version does not speak TLS.")]
    [InlineData("worker --coordinator http://x:1 --wait never", "--wait is 'never': must be a duration up to 24h, such as 30s or 5m.")]
    [InlineData("worker --coordinator http://x:1 --number 5000", "--number is '5000': must be a whole number between 0 and 4095.")]
    [InlineData("worker --coordinator http://x:1 --listen 5400", "--listen is '5400': must be ADDRESS:PORT, such as 127.0.0.1:0; port 0 lets the system choose.")]
    [InlineData("worker --coordinator http://x:1 --set seed=1", "--set needs a RECIPE or FILE")]
    [InlineData("coordinator --listen host:99999", "--listen is 'host:99999': must be ADDRESS:PORT, such as 127.0.0.1:5400; port 0 lets the system choose.")]
    [InlineData("coordinator --listen somehost:5400", "--listen is 'somehost:5400': must be ADDRESS:PORT, such as 127.0.0.1:5400; port 0 lets the system choose.")]
    [InlineData("worker --coordinator http://x:1 --job j", "--job and --scale-down need each other")]
    [InlineData("worker --coordinator http://x:1 --scale-down d", "--job and --scale-down need each other")]
    [InlineData("worker --coordinator http://x:1 --stay --wait 5s", "--wait has no place beside --stay, which waits without a limit.")]
    [InlineData("worker --coordinator http://x:1 --health 8080", "--health is '8080': must be ADDRESS:PORT, such as 127.0.0.1:8080.")]
    [InlineData("coordinator --scale-down Workers/all", "--scale-down is 'Workers/all': must be an object's name in the cluster, of lower-case letters, digits, '-' and '.'.")]
    [InlineData("train --max-restarts many", "--max-restarts is 'many': must be a whole number between 0 and 1000.")]
    [InlineData("bench", "Required command was not provided.")]
    [InlineData("bench allreduce --sizes 1MB,huge", "--sizes is '1MB,huge': 'huge' must be an amount of at least 4 bytes, such as 25MB or 4KiB.")]
    [InlineData("bench allreduce --sizes 3", "--sizes is '3': '3' must be an amount of at least 4 bytes, such as 25MB or 4KiB.")]
    [InlineData("bench allreduce --transports tcp,pigeon", "--transports is 'tcp,pigeon': 'pigeon' must be one of shared-memory, tcp, grpc.")]
    [InlineData("bench allreduce --transports tcp --transports pigeon", "--transports is 'tcp,pigeon': 'pigeon' must be one of shared-memory, tcp, grpc.")]
    [InlineData("bench allreduce --sizes 2000000TB", "2 workers with vectors of 2000000 TB take more than 8 EiB, more than half of the memory here: give smaller --sizes or fewer --workers.")]
    [InlineData("bench allreduce --sizes 20000000TB", "--sizes is '20000000TB': '20000000TB' must be less than 8 EiB, which is 2^63 bytes.")]
    [InlineData("bench allreduce --workers 1", "--workers is '1': must be a whole number between 2 and 64.")]
    [InlineData("bench step --workers 1,none", "--workers is '1,none': 'none' must be a whole number between 1 and 64.")]
    [InlineData("bench step --steps 8", "--steps is '8': must be a whole number between 9 and 1000000.")]
    [InlineData("bench recover --kills 0", "--kills is '0': must be a whole number between 1 and 1000.")]
    [InlineData("bench recover --workers 1", "workers is '1': must be 2 or more, as one has to go on while another is lost.")]
    [InlineData("plan --price-per-worker-hour 3", "--price-per-worker-hour says something of what is measured: give --measure, too.")]
    [InlineData("plan --measure --price-per-worker-hour cheap", "--price-per-worker-hour is 'cheap': must be a number between 0 and 1,000,000,000.")]
    [InlineData("plan --measure --plot plan.png", "--plot is 'plan.png': must name a file that ends with .svg.")]
    [InlineData("tune --plot .svg", "--plot is '.svg': must name a file that ends with .svg.")]
    [InlineData("tune --plot /nosuch/x.svg", "--plot is '/nosuch/x.svg', and there is no folder /nosuch: create it, or name another file.")]
    [InlineData("plan --measure --plot /nosuch/x.svg", "--plot is '/nosuch/x.svg', and there is no folder /nosuch: create it, or name another file.")]
    [InlineData("sweep toy", "Option '--batches' is required.")]
    [InlineData("sweep toy --batches 16,none", "--batches is '16,none': 'none' must be a whole number between 1 and 1099511627776.")]
    [InlineData("sweep toy --batches 16 --rates 1x,fast", "--rates is '1x,fast': 'fast' must be a rate above 0 such as 0.05, or a multiple such as 2x.")]
    [InlineData("sweep toy --batches 16 --optimizers sgd,best", "--optimizers is 'sgd,best': 'best' must be one of sgd, adam, adamw, lars, lamb, with a rate such as adamw=0.002 where wanted.")]
    [InlineData("sweep toy --batches 16 --optimizers adam=-1", "--optimizers is 'adam=-1': '-1' must be a rate above 0.")]
    [InlineData("sweep toy --batches 16 --optimizers lars", "--optimizers names lars, for which no rate suits most models: give one for the recipe's batch of 10, such as lars=0.01.")]
    [InlineData("sweep toy --batches 16 --target low", "--target is 'low': must be a number above 0.")]
    [InlineData("sweep toy --batches 16 --samples 0", "--samples is '0': must be a whole number between 1 and 1125899906842624.")]
    [InlineData("sweep toy --batches 16 --parallel 0", "--parallel is '0': must be a whole number between 1 and 1024.")]
    [InlineData("sweep toy --batches 16 --set batch.micro=auto", "batch.micro is auto: runs that each find a size of their own would not differ by the batch alone. Give a size; tune finds one.")]
    [InlineData("sweep toy --batches 16 --out /dev/null", "--out '/dev/null' is a file: name a new folder, or that of a sweep.")]
    [InlineData("sweep toy --batches 16 --out /proc/self", "--out '/proc/self' holds something else than a sweep: name a new folder, or that of a sweep.")]
    [InlineData("sweep toy --batches 16 --branch nosuch", "nosuch does not exist: give the folder of a run, or of one of its checkpoints.")]
    [InlineData("sweep toy --batches 16 --branch . --keep-schedule", "--keep-schedule has no place beside --branch: from the checkpoint on the rate is constant.")]
    [InlineData("sweep toy --batches 16 --on moon", "--on is 'moon': must be kubernetes, or left away for this machine.")]
    [InlineData("sweep toy --batches 16 --queue team", "--queue says something of Jobs: give --on kubernetes, too.")]
    [InlineData("sweep toy --batches 16 --on kubernetes --queue Team", "--queue is 'Team': must be at most 63 lower-case letters, digits and dashes, with no dash first or last.")]
    [InlineData("sweep toy --batches 16 --set data.count=3", "numbers holds no validation samples, and batches are compared by the validation loss: give data that has some.")]
    [InlineData("verify one", "'verify'")]
    [InlineData("predict", "'predict'")]
    [InlineData("predict nosuch", "error: nosuch does not exist: give the folder of a run, or of one of its checkpoints.")]
    [InlineData("predict \"\"", "error: The path is empty: give the folder of a run, or of one of its checkpoints.")]
    [InlineData("predict run --input \"\"", "--input is empty: give a path.")]
    [InlineData("predict run --data \"\"", "--data is empty: give a path.")]
    [InlineData("verify nosuch .", "error: nosuch does not exist: give a run's folder.")]
    [InlineData("verify . \"\"", "error: The path is empty: give a run's folder.")]
    [InlineData("predict run --temperature hot", "--temperature is 'hot': must be a number between 0 and 100.")]
    [InlineData("predict run --temperature nan", "--temperature is 'nan': must be a number between 0 and 100.")]
    [InlineData("predict run --count 0", "--count is '0': must be a whole number between 1 and 2147483647.")]
    [InlineData("recipes nonsense", "'nonsense' is no recipe (the recipes are toy).")]
    [InlineData("train tyo", "'tyo' is neither a recipe nor a file")]
    [InlineData("train --out /dev/null", "--out '/dev/null' is a file: name a new folder, or leave --out away for runs/toy.")]
    [InlineData("coordinator --workers none", "workers is 'none' (--workers): must be a whole number between 1 and 4096.")]
    [InlineData("launch", "Required command was not provided.")]
    [InlineData("launch kubernetes --workers 0", "--workers is '0': must be a whole number between 1 and 4096.")]
    [InlineData("launch kubernetes --namespace Team", "--namespace is 'Team': must be at most 63 lower-case letters, digits and dashes, with no dash first or last.")]
    [InlineData("launch kubernetes --start-timeout soon", "--start-timeout is 'soon': must be a duration up to 24h, such as 30s or 5m.")]
    [InlineData("status A", "NAME is 'A': must be at most 40 lower-case letters, digits and dashes, with a letter first and no dash last, such as digits-2.")]
    [InlineData("scale a", "'--workers' is required")]
    [InlineData("scale a --workers -1", "--workers is '-1': must be a whole number between 0 and 4096.")]
    [InlineData("logs", "'logs'")]
    [InlineData("logs a --worker first", "--worker is 'first': must be a worker's number, 0 for the first.")]
    [InlineData("logs a --worker 0 --coordinator", "--coordinator and --worker: name one of them.")]
    [InlineData("delete a --keep-data --delete-data", "--keep-data and --delete-data: say one of them.")]
    [InlineData("delete a --timeout 0s", "--timeout is '0s': must be a duration up to 24h, such as 30s or 5m.")]
    public async Task Bad_usage_is_a_sentence_and_exit_code_2(string line, string sentence)
    {
        var (code, text, error) = await Cli.RunAsync([.. line.Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(a => a == "\"\"" ? "" : a)]);
        Assert.Equal((2, ""), (code, text));
        if (line.Length > 0)
        {
            Assert.Contains(sentence, error, StringComparison.Ordinal);
        }
        else
        {
            Assert.Contains("Start here:", error, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("plan --workers 0 --set batch.micro=-3 --price-per-worker-hour -1 --measure", "--price-per-worker-hour is '-1': ", "workers is '0' (--workers): ", "batch.micro is '-3' (--set): ")]
    [InlineData("plan --workers 0 --price-per-worker-hour 1", "--price-per-worker-hour says something of what is measured: ", "workers is '0' (--workers): ")]
    [InlineData("plan --price-per-worker-hour -1 --plot x.png", "--price-per-worker-hour is '-1': ", "--price-per-worker-hour says something of what is measured: ", "--plot is 'x.png': ")]
    [InlineData("tune --workers 0 --plot x.png", "--plot is 'x.png': ", "workers is '0' (--workers): ")]
    [InlineData("tune --plot x.png", "--plot is 'x.png': ")]
    [InlineData("tune --wokers 0", "Unrecognized command or argument '0'.")]
    [InlineData("sweep toy --batches none --target low --set batch.global=0 --set seed=x", "--batches is ", "--target is ", "batch.global is '0' (--set): ", "seed is 'x' (--set): ")]
    [InlineData("sweep --batches none --branch nosuch --set model.nonsense=1", "--batches is ")]
    [InlineData("sweep toy --batches 8 --branch nosuch --set batch.global=0", "nosuch does not exist: ", "batch.global is '0' (--set): ")]
    [InlineData("sweep toy --batches 8 --optimizers lars,lamb --set batch.micro=auto --out /dev/null", "batch.micro is auto: ", "--optimizers names lars, ", "--optimizers names lamb, ", "--out '/dev/null' is a file: ")]
    public async Task All_mistakes_are_told_at_once(string line, params string[] sentences)
    {
        var (code, text, error) = await Cli.RunAsync(line.Split(' '));
        Assert.Equal((2, ""), (code, text));
        Assert.All(sentences, sentence => Assert.Contains($"error: {sentence}", error, StringComparison.Ordinal));
        Assert.Equal(sentences.Length, error.Split('\n').Count(l => l.StartsWith("error: ", StringComparison.Ordinal)));
    }

    /// <summary>As where standard output goes to a full disk.</summary>
    [Theory]
    [InlineData("plan toy")]
    [InlineData("recipes")]
    public async Task Output_that_finds_no_room_is_a_sentence_and_exit_code_1(string line)
    {
        var error = new StringWriter();
        Assert.Equal(1, await Cli.AppOf(Scenario.Good, new FullDisk(), error, line.Split(' ')).RunAsync(TestContext.Current.CancellationToken));
        Assert.Equal("error: No space left on device\n", error.ToString());
    }

    [Fact]
    public async Task What_nobody_thought_of_is_a_sentence_and_exit_code_1()
    {
        var error = new StringWriter();
        Assert.Equal(1, await Cli.AppOf(Scenario.Good, new FullDisk(new InvalidOperationException("Odd.")), error, ["recipes"]).RunAsync(TestContext.Current.CancellationToken));
        Assert.Equal("error: This should not have happened: Odd. (InvalidOperationException)\n", error.ToString());
    }

    [Fact]
    public async Task Recipes_are_listed_with_their_first_comment_and_printed_by_name()
    {
        Assert.Equal((0, "toy  a toy that trains nothing (the default)\n", ""), await Cli.RunAsync("recipes"));
        Assert.StartsWith("# a toy that trains nothing\nname: toy\n", (await Cli.RunAsync("recipes", "toy")).Out, StringComparison.Ordinal);
        Assert.Equal("""[{"name":"toy","description":"a toy that trains nothing","default":true}]""" + "\n", (await Cli.RunAsync("recipes", "--json")).Out);
    }

    private sealed class FullDisk(Exception? problem = null) : StringWriter
    {
        public override void Write(char value) => throw problem ?? new IOException("No space left on device");

        public override void Write(string? value) => throw problem ?? new IOException("No space left on device");

        public override void WriteLine(string? value) => throw problem ?? new IOException("No space left on device");
    }
}
