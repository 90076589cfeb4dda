using CsCheck;

namespace DistTrain.Core.Tests;

/// <summary>
/// Runs a property on samples that are the same every time. CsCheck's own loop takes the first sample from the given
/// seed and the others from the clock; a suite that guards bits should itself repeat. CsCheck takes over when a sample
/// fails: it looks for a smaller one and prints it.
/// </summary>
internal static class Property
{
    public static void Always<T>(this Gen<T> gen, Action<T> holds, int samples = 100)
    {
        for (var sample = 0; sample < samples; sample++)
        {
            var random = new PCG(1, (ulong)sample);
            var seed = random.ToString();
            var value = gen.Generate(random, null, out _);
            try
            {
                holds(value);
            }
            catch (Exception)
            {
                gen.Sample(holds, seed: seed, iter: 1000, threads: 1);
                throw;
            }
        }
    }

    public static void Always<T1, T2>(this Gen<(T1, T2)> gen, Action<T1, T2> holds, int samples = 100) =>
        gen.Always(t => holds(t.Item1, t.Item2), samples);

    public static void Always<T1, T2, T3>(this Gen<(T1, T2, T3)> gen, Action<T1, T2, T3> holds, int samples = 100) =>
        gen.Always(t => holds(t.Item1, t.Item2, t.Item3), samples);
}
