namespace DistTrain.Core.Options;

/// <summary>Gives an example of a key below one that has any number of them, with its value: what a message shows that says how to set one.</summary>
/// <param name="text">The rest of the key, and the value.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ExampleAttribute(string text) : Attribute
{
    /// <summary>The rest of the key, and the value.</summary>
    public string Text => text;
}
