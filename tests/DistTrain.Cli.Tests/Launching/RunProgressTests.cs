using DistTrain.Launching;
using V1 = DistTrain.Protocol.V1;

namespace DistTrain.Cli.Tests.Launching;

public sealed class RunProgressTests
{
    [Fact]
    public void Halvings_let_a_killed_worker_be_started_again_but_not_for_ever()
    {
        var (progress, policy, state) = (new RunProgress(), new RestartPolicy(1), default(RestartState));
        var starts = 0;
        for (var kill = 0; kill < 100; kill++)
        {
            progress.Note(new V1.RunEvent { Happening = new V1.Happening { Name = "out-of-memory" } });
            progress.Note(new V1.RunEvent { Happening = new V1.Happening { Name = "lost" } });
            var decision = policy.Decide(state, ExitCodes.Killed, progress.Advances);
            state = decision.State;
            starts += decision.Again ? 1 : 0;
        }

        Assert.Equal((RunProgress.MostHalvings, 0L), (starts, progress.Steps));
        Assert.False(policy.Decide(state, ExitCodes.Killed, progress.Advances).Again);
    }
}
