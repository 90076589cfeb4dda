using System.Text.Json.Nodes;

namespace DistTrain.Kubernetes.Launching;

/// <summary>
/// How a run's folder is copied out of its volume, in commands that work as they stand: a pod that mounts the claim, as nobody can copy out of one that has ended.
/// </summary>
internal static class FetchCommands
{
    private const string Folder = "/var/lib/disttrain";

    /// <summary>Has <c>sleep</c> and <c>tar</c>, which the program's own image has no use for.</summary>
    private const string Image = "busybox:1.36.1";

    /// <summary>The commands.</summary>
    /// <param name="names">The run.</param>
    /// <param name="space">Its namespace.</param>
    public static IReadOnlyList<string> Of(RunNames names, string space)
    {
        var pod = $"{names.Run}-fetch";
        var overrides = new JsonObject
        {
            ["spec"] = new JsonObject
            {
                ["automountServiceAccountToken"] = false,
                ["securityContext"] = new JsonObject
                {
                    ["runAsNonRoot"] = true,
                    ["runAsUser"] = 65532,
                    ["runAsGroup"] = 65532,
                    ["fsGroup"] = 65532,
                    ["seccompProfile"] = new JsonObject { ["type"] = "RuntimeDefault" },
                },
                ["containers"] = new JsonArray(new JsonObject
                {
                    ["name"] = pod,
                    ["image"] = Image,
                    ["command"] = new JsonArray("sleep", "3600"),
                    ["resources"] = new JsonObject
                    {
                        ["requests"] = new JsonObject { ["cpu"] = "50m", ["memory"] = "64Mi" },
                        ["limits"] = new JsonObject { ["cpu"] = "1", ["memory"] = "256Mi" },
                    },
                    ["securityContext"] = new JsonObject
                    {
                        ["allowPrivilegeEscalation"] = false,
                        ["readOnlyRootFilesystem"] = true,
                        ["capabilities"] = new JsonObject { ["drop"] = new JsonArray("ALL") },
                    },
                    ["volumeMounts"] = new JsonArray(new JsonObject { ["name"] = "run", ["mountPath"] = Folder, ["readOnly"] = true }),
                }),
                ["volumes"] = new JsonArray(new JsonObject
                {
                    ["name"] = "run",
                    ["persistentVolumeClaim"] = new JsonObject { ["claimName"] = names.Volume },
                }),
            },
        };
        return
        [
            $"kubectl --namespace {space} run {pod} --image={Image} --restart=Never --overrides='{overrides.ToJsonString()}'",
            $"kubectl --namespace {space} wait --for=condition=Ready --timeout=5m pod/{pod}",
            $"kubectl --namespace {space} cp {pod}:{Folder}/run {names.Run}",
            $"kubectl --namespace {space} delete pod {pod}",
        ];
    }
}
