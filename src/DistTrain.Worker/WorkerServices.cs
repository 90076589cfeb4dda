using DistTrain.Worker.Exchange;
using DistTrain.Worker.Exchange.Links;
using DistTrain.Worker.Healing;
using DistTrain.Worker.Health;

namespace DistTrain.Worker;

/// <summary>What a worker shows to others: where their calls find what they are for, and how it is.</summary>
/// <param name="Groups">The current generation, for its members.</param>
/// <param name="States">The state, for joiners.</param>
/// <param name="Door">Where members' calls come in that are none of gRPC's.</param>
/// <param name="Vitals">What it is at, and what it has done.</param>
internal sealed record WorkerServices(PeerGroupDirectory Groups, StateSource States, LinkDoor Door, WorkerVitals Vitals);
