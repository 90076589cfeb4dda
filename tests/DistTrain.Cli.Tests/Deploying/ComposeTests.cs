using System.CommandLine;
using DistTrain.Cli.Tasks;
using DistTrain.Configuration;
using DistTrain.Core.Options;
using DistTrain.Verbs;
using YamlDotNet.Core;

namespace DistTrain.Cli.Tests.Deploying;

/// <summary><c>deploy/compose.yaml</c> says what its containers may, and starts the program with options that the program has.</summary>
public sealed class ComposeTests
{
    private static readonly ComposeFile Compose = DeployFolder.ReadCompose();

    public static TheoryData<string> Services => [.. Compose.Services.Keys];

    [Fact]
    public void There_are_a_coordinator_and_workers() => Assert.Equal(["coordinator", "worker"], Compose.Services.Keys);

    [Theory]
    [MemberData(nameof(Services))]
    public void A_container_is_nobody_and_writes_nowhere_but_to_its_volumes(string name)
    {
        var service = Compose.Services[name];

        Assert.Equal("65532:65532", service.User);
        Assert.True(service.ReadOnly);
        Assert.Equal(["ALL"], service.CapDrop);
        Assert.Equal(["no-new-privileges:true"], service.SecurityOpt);
        Assert.All(service.Tmpfs, mount => Assert.StartsWith("/tmp:", mount, StringComparison.Ordinal));
        Assert.All(service.Volumes, volume => Assert.True(
            Compose.Volumes.ContainsKey(volume.Split(':')[0]) || (volume.EndsWith(":ro", StringComparison.Ordinal) && File.Exists(DeployFolder.PathOf(volume.Split(':')[0])))));
        Assert.StartsWith("on-failure:", service.Restart, StringComparison.Ordinal);
    }

    [Theory]
    [MemberData(nameof(Services))]
    public void A_container_has_the_image_of_this_version(string name)
    {
        var service = Compose.Services[name];

        Assert.Equal($"disttrain:{DeployFolder.Version}", service.Image);
        Assert.Equal(DeployFolder.Root, Path.GetFullPath(DeployFolder.PathOf(service.Build!.Context)));
        Assert.True(File.Exists(Path.Combine(DeployFolder.Root, service.Build.Dockerfile)));
        Assert.Contains(DeployFolder.Lines("Dockerfile"), line => line.EndsWith($" AS {service.Build.Target}", StringComparison.Ordinal));
    }

    [Theory]
    [MemberData(nameof(Services))]
    public void A_container_has_time_to_end_its_step(string name)
    {
        Assert.True(Duration.TryParse(Compose.Services[name].StopGracePeriod!, out var grace));
        Assert.InRange(grace, TimeSpan.FromSeconds(60), TimeSpan.FromMinutes(10));
    }

    [Theory]
    [MemberData(nameof(Services))]
    public void The_program_knows_the_command(string name) => Assert.Empty(Mistakes(Compose.Services[name].Command));

    [Fact]
    public void A_command_that_the_program_does_not_know_is_seen() =>
        Assert.NotEmpty(Mistakes([.. Compose.Services["worker"].Command, "--no-such-option", "1"]));

    [Fact]
    public void A_key_that_Compose_does_not_know_is_seen()
    {
        var misspelt = File.ReadAllText(DeployFolder.PathOf("compose.yaml")).Replace("read_only:", "readonly:", StringComparison.Ordinal);

        Assert.Throws<YamlException>(() => DeployFolder.ReadCompose(new StringReader(misspelt)));
    }

    [Fact]
    public void Workers_look_for_the_coordinator_where_it_listens()
    {
        var address = new Uri(Value("worker", "--coordinator"));

        Assert.Equal("coordinator", address.Host);
        Assert.Equal($"0.0.0.0:{address.Port}", Value("coordinator", "--listen"));
        Assert.Contains("coordinator", Compose.Services["worker"].DependsOn);
    }

    [Fact]
    public void The_run_lies_on_a_volume() =>
        Assert.Contains(Compose.Services["coordinator"].Volumes, volume => Value("coordinator", "--out").StartsWith(volume.Split(':')[1] + "/", StringComparison.Ordinal));

    [Fact]
    public void What_is_trained_is_the_recipe_digits()
    {
        var shelf = new RecipeShelf();
        shelf.Add(typeof(BuiltInTasks).Assembly);
        var recipe = Read("digits");
        var run = Read(DeployFolder.PathOf("run.yaml"));

        Assert.Equal(RunConfiguration.Write(recipe with { Workers = run.Workers }), RunConfiguration.Write(run));
        Assert.Contains($"./run.yaml:{Compose.Services["coordinator"].Command[1]}:ro", Compose.Services["coordinator"].Volumes);

        RunOptions Read(string source)
        {
            var read = RunConfiguration.Read(new ConfigurationRequest { Source = source }, shelf, BuiltInTasks.Catalog());
            Assert.Empty(read.Problems);
            return read.Options;
        }
    }

    private static string Value(string service, string option) =>
        Compose.Services[service].Command[Compose.Services[service].Command.IndexOf(option) + 1];

    private static IReadOnlyList<string> Mistakes(IReadOnlyList<string> command)
    {
        var app = new Application(BuiltInTasks.Catalog(), new RecipeShelf(), Surroundings.OfProcess());
        var root = new RootCommand { CoordinatorVerb.Create(app), WorkerVerb.Create(app) };
        return [.. root.Parse(command).Errors.Select(error => error.Message)];
    }
}
