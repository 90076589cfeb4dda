using k8s;
using k8s.Models;

namespace DistTrain.PlayedCluster.Plays;

/// <summary>The run that is played: the digits that come with the program, slowed down while things are done to it.</summary>
internal static class RunFile
{
    /// <summary>How many steps it has.</summary>
    public const int Steps = 300;

    /// <summary>The configuration.</summary>
    /// <param name="pause">How long a worker rests after each micro-batch, in milliseconds.</param>
    public static string Text(int pause) => $$"""
        name: digits
        task: image-classification
        model: { name: cnn, dropout: 0.25 }
        data: { name: digits }
        batch: { global: 128, micro: 8 }
        optimizer: { name: sgd, learningRate: 0.1, momentum: 0.9 }
        schedule: { name: cosine, warmupEpochs: 1 }
        stop: { epochs: 0, steps: {{Steps}} }
        evaluate: { everyEpochs: 25 }
        checkpoint: { everySteps: 25 }
        failureDetection: 5s
        debug: { delayPerMicroBatch: { 0: {{pause}}ms } }

        """;

    /// <summary>Puts a configuration into the rendered objects, and makes its pauses concern every worker.</summary>
    public static IReadOnlyList<IKubernetesObject<V1ObjectMeta>> In(IReadOnlyList<IKubernetesObject<V1ObjectMeta>> objects, string text, int replicas)
    {
        foreach (var given in objects)
        {
            switch (given)
            {
                case V1ConfigMap map:
                    map.Data[map.Data.Keys.Single()] = text;
                    break;
                case V1Deployment deployment:
                    deployment.Spec.Replicas = replicas;

                    // Pauses go by a worker's number, which pods do not have.
                    deployment.Spec.Template.Spec.Containers[0].Args = [.. deployment.Spec.Template.Spec.Containers[0].Args, "--number", "0"];
                    break;
            }
        }

        return objects;
    }
}
