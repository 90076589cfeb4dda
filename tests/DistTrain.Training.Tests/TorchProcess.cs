using DistTrain.Training.Native;
using DistTrain.Training.Tests;

[assembly: AssemblyFixture(typeof(TorchProcess))]

namespace DistTrain.Training.Tests;

/// <summary>Loads torch before any test touches it, in the environment that a worker sets: native libraries read it once.</summary>
public sealed class TorchProcess
{
    public TorchProcess() => TorchRuntime.Load(1);
}
