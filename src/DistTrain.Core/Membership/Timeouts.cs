using System.ComponentModel;
using System.Reflection;
using System.Text.Json;
using DistTrain.Core.Options;

namespace DistTrain.Core.Membership;

/// <summary>One time limit, for people.</summary>
/// <param name="Name">Its name.</param>
/// <param name="Value">How long.</param>
/// <param name="Limits">What waits, and why that long.</param>
public sealed record TimeLimit(string Name, TimeSpan Value, string Limits);

/// <summary>
/// Every time limit of coordinator, workers and launcher, each a multiple of one setting: whoever needs to notice a loss sooner, or runs on a slower network,
/// changes <c>failureDetection</c> and nothing else. What a process needs to load torch or to finish a step does not shrink with it, and has a floor.
/// </summary>
/// <param name="FailureDetection">How soon a silent worker counts as lost.</param>
public sealed record Timeouts(TimeSpan FailureDetection)
{
    /// <summary>The limits of the default setting, for what has to wait before it knows the run's.</summary>
    public static Timeouts Default { get; } = new(new RunOptions().FailureDetection);

    [Description("how often coordinator and worker speak: five words may be lost before the silence counts")]
    public TimeSpan Heartbeat => FailureDetection / 5;

    [Description("how long a worker, or to a worker the coordinator, may be silent: the setting itself")]
    public TimeSpan Silence => FailureDetection;

    [Description("the same before the first operation: many processes that load torch at once on few cores get no time to speak")]
    public TimeSpan StartUpSilence => 10 * FailureDetection;

    [Description("how long a member may be at one block, unless five times what it should take is longer; first blocks are exempt")]
    public TimeSpan NoProgress => FailureDetection;

    [Description("how long a worker leaves a broken link to the coordinator, which sees dead processes for itself, before it reports it")]
    public TimeSpan LinkReport => FailureDetection;

    [Description("how long linking, or a connection between workers, may take: longer than it takes to notice that the other end is lost")]
    public TimeSpan Link => 5 * FailureDetection;

    [Description("how long a run that lost all members waits for others that are as soon back, before it begins with those it has")]
    public TimeSpan Gathering => FailureDetection;

    [Description("how long a run without members waits for those that may still hold its newest state: at most a second, in which each tries twice to reach it")]
    public TimeSpan FormerWorkers => Shortest(TimeSpan.FromSeconds(1), FailureDetection / 2);

    [Description("first pause of a worker between attempts to reach the coordinator; doubled every time")]
    public TimeSpan FirstRedial => LongestRedial / 5;

    [Description("longest such pause: half the time in which a run waits for its former members")]
    public TimeSpan LongestRedial => FormerWorkers / 2;

    [Description("how long a worker tries to reach the coordinator at its start; as it does not know the setting yet, that of the default, or --wait")]
    public TimeSpan FirstAnswer => 15 * FailureDetection;

    [Description("how long a worker holds its state for a coordinator that is gone: time to notice that, and to start another, with room")]
    public TimeSpan CoordinatorPatience => 45 * FailureDetection;

    [Description("first pause of a worker that was cut off before it joins anew; doubled every time")]
    public TimeSpan FirstPause => FailureDetection / 10;

    [Description("longest such pause: one that is cut off again and again must not stop the others as often")]
    public TimeSpan LongestPause => 15 * FailureDetection;

    [Description("how long a worker has to have taken part for its pauses to begin small again: twice the longest")]
    public TimeSpan SettledSession => 2 * LongestPause;

    [Description("how long the last words to a worker or a viewer may take to arrive: two silences, as both ends may be slow")]
    public TimeSpan LastWords => 2 * FailureDetection;

    [Description("how long the launcher waits for the coordinator's word on why the run cannot go on: it may have to notice a loss first")]
    public TimeSpan Verdict => 5 * FailureDetection;

    [Description("how long the launcher waits for the coordinator to listen: a process start, at least a minute")]
    public TimeSpan ProcessStart => Longest(TimeSpan.FromMinutes(1), 30 * FailureDetection);

    [Description("how long a process whose launcher has let it go may take to finish its step: at least ten seconds")]
    public TimeSpan Grace => Longest(TimeSpan.FromSeconds(10), 5 * FailureDetection);

    [Description("how long a run that is asked to end may take to write its state: less than the grace that its processes have")]
    public TimeSpan Stop => 0.8 * Grace;

    [Description("how long the launcher waits for its processes to end before it kills them: their grace and half of it")]
    public TimeSpan ProcessEnd => 1.5 * Grace;

    [Description("how long a run that has ended tries to write its last lines and its summary to a disk that takes nothing: less than the launcher waits for its word")]
    public TimeSpan Summary => 3 * FailureDetection;

    [Description("longest pause of a worker that waits without a state of its own, once it has waited as long as a first answer may take: at most five seconds, as nobody waits for it")]
    public TimeSpan PatientRedial => Shortest(TimeSpan.FromSeconds(5), 2.5 * FailureDetection);

    [Description("how long a worker may be at one block or update, unless fifteen times its longest is longer, or a coordinator's loop may stand still, before it calls itself stuck; and a joiner take nothing of the state it is sent")]
    public TimeSpan Stuck => Longest(TimeSpan.FromMinutes(1), 30 * FailureDetection);

    [Description("the same for what nobody has measured: a first block, building the model, a copy whose source does something else, the end of a run")]
    public TimeSpan StuckAtFirst => 10 * Stuck;

    [Description("how long a coordinator in a cluster waits for another that still owns the run's folder: its process's end, and a network file system's lease")]
    public TimeSpan Ownership => ProcessEnd + TimeSpan.FromMinutes(2);

    [Description("how long one call of a cluster's API may take: at least ten seconds")]
    public TimeSpan ClusterCall => Longest(TimeSpan.FromSeconds(10), 5 * FailureDetection);

    [Description("how long a worker in a cluster is without a coordinator before it asks what became of its job, and how often it asks then: at most 20 seconds")]
    public TimeSpan ClusterQuestion => Shortest(TimeSpan.FromSeconds(20), 10 * FailureDetection);

    /// <summary>Every limit by its name, in the order in which it is stated here.</summary>
    public IReadOnlyList<TimeLimit> All =>
    [
        .. from property in typeof(Timeouts).GetProperties(BindingFlags.Public | BindingFlags.Instance | BindingFlags.DeclaredOnly)
           let description = property.GetCustomAttribute<DescriptionAttribute>()
           where description is not null
           orderby property.MetadataToken
           select new TimeLimit(JsonNamingPolicy.CamelCase.ConvertName(property.Name), (TimeSpan)property.GetValue(this)!, description.Description),
    ];

    private static TimeSpan Shortest(TimeSpan left, TimeSpan right) => left < right ? left : right;

    private static TimeSpan Longest(TimeSpan left, TimeSpan right) => left > right ? left : right;
}
