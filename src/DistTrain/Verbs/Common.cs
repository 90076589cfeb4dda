using System.CommandLine;
using System.CommandLine.Parsing;
using System.Globalization;
using System.Net;
using DistTrain.Core;
using DistTrain.Core.Options;
using DistTrain.Training.Data;
using DistTrain.Training.Tasks;

namespace DistTrain.Verbs;

/// <summary>What several verbs share.</summary>
internal static class Common
{
    /// <summary>The option that talks to programs.</summary>
    public static Option<bool> Json(string description) => new("--json") { Description = description };

    /// <summary>Runs a coordinator or worker to its end and turns that into an exit code and, on failure, one sentence.</summary>
    public static async Task<int> EndAsync(Func<Task<RunOutcome>> run, Surroundings surroundings, CancellationToken stop)
    {
        try
        {
            var outcome = await run();
            if (!outcome.Success)
            {
                surroundings.Fail(outcome.Sentence);
            }

            return outcome.Success ? ExitCode.Success : ExitCode.Failure;
        }
        catch (Exception broken)
        {
            Explain(broken, surroundings, stop);
            return ExitCode.Failure;
        }
    }

    /// <summary>Says in a sentence what kept a coordinator or worker from its end.</summary>
    public static void Explain(Exception broken, Surroundings surroundings, CancellationToken stop)
    {
        switch (broken)
        {
            case OperationCanceledException when stop.IsCancellationRequested:
                surroundings.Fail("Stopped before the run was finished.");
                break;
            case DataException or IOException or UnauthorizedAccessException:
                surroundings.Fail(broken.Message);
                break;
            default:
                Unexpected(broken, surroundings);
                break;
        }
    }

    /// <summary>Says that the program is wrong.</summary>
    public static void Unexpected(Exception bug, Surroundings surroundings)
    {
        surroundings.Fail($"This should not have happened: {bug.Message} ({bug.GetType().Name})");

        // A log file has room for what a person on a terminal does not want to read.
        if (surroundings.IsSupervised)
        {
            surroundings.Error.WriteLine(bug.StackTrace);
        }
    }

    /// <summary>Gets a run's data onto this machine, as its configuration says; what takes its time is told on standard error.</summary>
    /// <exception cref="DataException">They cannot be had.</exception>
    public static Task<HeldData> TakeDataAsync(RunOptions options, Surroundings surroundings, CancellationToken cancellation) =>
        new DataHost { Time = surroundings.Time, Say = surroundings.Error.WriteLine }.TakeAsync(options, cancellation);

    /// <summary>Creates the task of a configuration.</summary>
    /// <exception cref="DataException">The data are missing or damaged, or the task throws something else.</exception>
    public static ITrainingTask CreateTask(TaskCatalog tasks, RunOptions options)
    {
        try
        {
            return tasks.Create(options);
        }
        catch (Exception e) when (e is not (DataException or OutOfMemoryException or IOException or UnauthorizedAccessException))
        {
            throw new DataException($"The task {options.Task} cannot be created: {e.Message}", e);
        }
    }

    /// <summary>Why a path cannot be what it is asked for; null where there is a file or a folder.</summary>
    /// <param name="path">The path.</param>
    /// <param name="what">What is asked for, after <c>give</c>.</param>
    public static string? Missing(string path, string what)
    {
        if (string.IsNullOrWhiteSpace(path))
        {
            return $"The path is empty: give {what}.";
        }

        return Path.Exists(path) ? null : $"{path} does not exist: give {what}.";
    }

    /// <summary>Refuses an option that is given nothing.</summary>
    public static void NotEmpty(OptionResult result)
    {
        if (string.IsNullOrWhiteSpace(Given(result)))
        {
            result.AddError($"{result.Option.Name} is empty: give a path.");
        }
    }

    /// <summary>What the command line gives an option, for a message.</summary>
    public static string Given(OptionResult result) => result.Tokens is [var token, ..] ? token.Value : "";

    /// <summary>An option that takes a whole number.</summary>
    public static Option<int> WholeNumber(string name, string description, string help, int from, int to, int standard) => new(name)
    {
        Description = description,
        HelpName = help,
        DefaultValueFactory = _ => standard,
        CustomParser = result => ReadWhole(result, name, from, to),
    };

    /// <summary>An option that takes a whole number; null where it is left away.</summary>
    public static Option<int?> WholeNumber(string name, string description, string help, int from, int to) => new(name)
    {
        Description = description,
        HelpName = help,
        CustomParser = result => ReadWhole(result, name, from, to),
    };

    private static int ReadWhole(ArgumentResult result, string name, int from, int to)
    {
        var given = result.Tokens is [var token, ..] ? token.Value : "";
        if (!int.TryParse(given, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var number) || number < from || number > to)
        {
            result.AddError($"{name} is '{given}': must be a whole number between {from} and {to}.");
        }

        return number;
    }

    /// <summary>An option that takes a price.</summary>
    public static Option<double?> Price(string name, string description)
    {
        const double most = 1e9;
        var option = new Option<double?>(name) { Description = description, HelpName = "PRICE" };
        option.CustomParser = result => result.Tokens is [var token, ..] ? Read(token.Value) : null;
        option.Validators.Add(result =>
        {
            if (Read(Given(result)) is null)
            {
                result.AddError($"{name} is '{Given(result)}': must be a number between 0 and {most:N0}.");
            }
        });
        return option;

        static double? Read(string given) =>
            double.TryParse(given, NumberStyles.Float, CultureInfo.InvariantCulture, out var number) && number is >= 0 and <= most ? number : null;
    }

    /// <summary>The option that draws a picture.</summary>
    public static Option<string?> Plot(string description) => Svg("--plot", description);

    /// <summary>An option that names a picture's file.</summary>
    public static Option<string?> Svg(string name, string description)
    {
        var option = new Option<string?>(name) { Description = description, HelpName = "FILE.svg" };
        option.Validators.Add(result =>
        {
            if (!Given(result).EndsWith(".svg", StringComparison.OrdinalIgnoreCase) || Path.GetFileNameWithoutExtension(Given(result)).Length == 0)
            {
                result.AddError($"{name} is '{Given(result)}': must name a file that ends with .svg.");
            }
            else if (Directory.Exists(Given(result)))
            {
                result.AddError($"{name} is '{Given(result)}', which is a folder: name a file.");
            }
            else if (Path.GetDirectoryName(Path.GetFullPath(Given(result))) is var folder && !Directory.Exists(folder))
            {
                result.AddError($"{name} is '{Given(result)}', and there is no folder {folder}: create it, or name another file.");
            }
        });
        return option;
    }

    /// <summary>Draws a picture, when everything else is told: a file that cannot be written costs nobody what was measured.</summary>
    /// <param name="file">The file; null where no picture is asked for.</param>
    /// <param name="draw">Draws into it.</param>
    /// <param name="surroundings">Hear of it where that fails.</param>
    /// <returns>The exit code.</returns>
    public static int Draw(string? file, Action<string> draw, Surroundings surroundings)
    {
        if (file is not null)
        {
            try
            {
                draw(file);
            }
            catch (Exception refused) when (refused is IOException or UnauthorizedAccessException)
            {
                surroundings.Fail($"The picture {file} cannot be written: {refused.Message}");
                return ExitCode.Failure;
            }
        }

        return ExitCode.Success;
    }

    /// <summary>Whether a text is an address of a machine's own and a port from 0 to 65535.</summary>
    public static bool IsEndpoint(string text)
    {
        var colon = text.LastIndexOf(':');
        return colon > 0 && ushort.TryParse(text.AsSpan(colon + 1), out _)
            && (text[..colon].Equals("localhost", StringComparison.OrdinalIgnoreCase) || IPAddress.TryParse(text[..colon], out _));
    }

    /// <summary>An option that names an address to listen on.</summary>
    public static Option<string> Listen(string standard, string description)
    {
        var listen = new Option<string>("--listen") { Description = description, HelpName = "ADDRESS:PORT", DefaultValueFactory = _ => standard };
        listen.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<string>() is not { } text || !IsEndpoint(text))
            {
                result.AddError($"--listen is '{Common.Given(result)}': must be ADDRESS:PORT, such as {standard}; port 0 lets the system choose.");
            }
        });
        return listen;
    }
}
