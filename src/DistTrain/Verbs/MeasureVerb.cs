using System.Diagnostics;
using System.Runtime.InteropServices;
using System.Threading.Channels;
using DistTrain.Core.Options;
using DistTrain.Measuring;
using DistTrain.Training.Data;
using DistTrain.Training.Native;
using DistTrain.Training.Tasks;
using DistTrain.Worker.Tuning;

namespace DistTrain.Verbs;

/// <summary>
/// <c>measure</c>: a process that <c>plan</c> and <c>tune</c> start and talk to over its standard input and output. Not for people. It ends when its standard input does.
/// Before another verb it only makes the process of that verb one that measures.
/// </summary>
internal static class MeasureVerb
{
    /// <summary>The verb's name.</summary>
    public const string Name = "measure";

    /// <summary>The verb.</summary>
    public static System.CommandLine.Command Create(Application app)
    {
        var command = new VerbCommand(Name, "Measure for plan and tune, which start this.", "Examples:\n  tune digits") { Hidden = true };
        command.SetAction((_, cancellation) => RunAsync(app, cancellation));
        return command;
    }

    private static async Task<int> RunAsync(Application app, CancellationToken cancellation)
    {
        // A terminal sends these to the whole process group; whoever asks decides what becomes of this process.
        using var interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, context => context.Cancel = true);
        using var hangUp = PosixSignalRegistration.Create(PosixSignal.SIGHUP, context => context.Cancel = true);
        OfferToKernel();
        var requests = Channel.CreateBounded<string>(1);
        new Thread(() => Read(requests.Writer)) { IsBackground = true, Name = "requests" }.Start();
        ModelMeter? meter = null;
        try
        {
            await foreach (var line in requests.Reader.ReadAllAsync(cancellation))
            {
                var request = MeasureLine.Read<MeasureRequest>(line) ?? throw new InvalidOperationException("A request is no JSON.");
                MeasureAnswer answer;
                if (request.Begin is { } begin)
                {
                    meter = await BeginAsync(app, begin);
                    answer = new MeasureAnswer
                    {
                        Model = new MeasuredModel(meter.State, meter.Parameters, meter.RuntimeBytes, meter.Device),
                    };
                }
                else
                {
                    answer = await AnswerAsync(meter ?? throw new InvalidOperationException("The first request begins."), request);
                }

                app.Surroundings.Out.WriteLine(MeasureLine.Write(answer));
                app.Surroundings.Out.Flush();
            }
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            var sentence = MemoryShortage.Is(e) ? "There is not enough memory." : e.Message.Split('\n', 2)[0].TrimEnd();
            app.Surroundings.Out.WriteLine(MeasureLine.Write(new MeasureAnswer { IsShort = MemoryShortage.Is(e), Error = sentence }));
            app.Surroundings.Out.Flush();
            return ExitCode.Failure;
        }
        finally
        {
            if (meter is not null)
            {
                await meter.DisposeAsync();
            }
        }

        return ExitCode.Success;
    }

    private static async Task<ModelMeter> BeginAsync(Application app, MeasureBegin begin)
    {
        var (options, problems) = OptionsReader.ReadRun(new Dictionary<string, string>(begin.Configuration, StringComparer.OrdinalIgnoreCase));
        if (problems.Count > 0)
        {
            throw new InvalidOperationException(string.Join(" ", problems));
        }

        CpuProfile.Apply(options.Threads, options.Instructions);
        var data = new HeldData(options, DataLocation.PathOf(options.Data), lease: null);
        return await ModelMeter.StartAsync(options, Common.CreateTask(app.Tasks, options), data, begin.Number, app.Surroundings.Time);
    }

    private static async Task<MeasureAnswer> AnswerAsync(ModelMeter meter, MeasureRequest request)
    {
        if (request.Remarks is { } remarks)
        {
            return await meter.RemarksAsync(remarks.Micro) is { } said ? new MeasureAnswer { Remarks = said } : new MeasureAnswer { IsShort = true };
        }

        var size = request.Size ?? throw new InvalidOperationException("A request asks for nothing.");
        return await meter.MeasureAsync(size.Size) is { } cost ? new MeasureAnswer { Cost = cost } : new MeasureAnswer { IsShort = true };
    }

    /// <summary>Where memory is short, this process is the one to go, and nobody's work.</summary>
    public static void OfferToKernel()
    {
        try
        {
            File.WriteAllText("/proc/self/oom_score_adj", "1000");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Elsewhere there is no such file; then the kernel chooses by itself.
        }
    }

    private static void Read(ChannelWriter<string> requests)
    {
        while (Console.In.ReadLine() is { } line)
        {
            requests.TryWrite(line);
        }

        // Whoever asked is gone, and waits for nothing that is under way.
        Process.GetCurrentProcess().Kill();
    }
}
