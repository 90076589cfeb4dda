namespace DistTrain.Core.Options;

/// <summary>Marks a whole number in place of which <c>auto</c> may stand: it is kept as 0.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class OrAutoAttribute : Attribute
{
    /// <summary>The word.</summary>
    public const string Word = "auto";
}
