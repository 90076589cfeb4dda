using System.Runtime.CompilerServices;
using DistTrain.Core.Options;
using DistTrain.Training.Native;

namespace DistTrain.Cluster.Tests;

/// <summary>torch reads the processor profile when it is loaded, which the first test of the process does.</summary>
internal static class TestProcess
{
    [ModuleInitializer]
    internal static void Begin()
    {
        CpuProfile.Apply(threads: 1, RunOptions.Avx2Instructions);

        // Many hosts share this process; each would have a thread pool of its own.
        ThreadPool.SetMinThreads(32, 32);
    }
}
