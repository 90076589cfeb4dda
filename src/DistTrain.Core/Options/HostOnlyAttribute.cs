namespace DistTrain.Core.Options;

/// <summary>
/// Marks a key, or every key below it, that says how a run is carried out and cannot change its bits.
/// </summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class HostOnlyAttribute : Attribute;
