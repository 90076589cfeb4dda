namespace DistTrain.PlayedCluster;

/// <summary>An object asks for something that this cluster does not play. It is said, never passed over: a play without it proves nothing about it.</summary>
internal sealed class NotPlayedException(string what) : Exception($"Not played: {what}.");
