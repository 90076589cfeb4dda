using DistTrain.Worker.Exchange;
using DistTrain.Worker.Healing;

namespace DistTrain.Worker;

/// <summary>Where calls of other workers find what they are for.</summary>
/// <param name="Groups">The current generation, for its members.</param>
/// <param name="States">The state, for joiners.</param>
internal sealed record WorkerServices(PeerGroupDirectory Groups, StateSource States);
